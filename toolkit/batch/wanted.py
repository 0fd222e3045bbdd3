"""What is asked of every clip, and the keys that tell whether a result still answers it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, get_args

from toolkit.errors import UserError
from toolkit.export.formats import FORMATS
from toolkit.methods.registry import methods
from toolkit.methods.request import Preset


@dataclass(frozen=True)
class Wanted:
    """What is asked of a clip.

    Attributes:
        method: Name of a method, or "auto".
        preset: "draft", "normal" or "fine".
        frames: The first so many frames; None lets the method choose.
        seed: Same seed, same result.
        formats: Result files; the scene is always among them, as everything else can be made of it later.
        options: Settings of the method by name.
    """

    method: str = "auto"
    preset: str = "normal"
    frames: int | None = None
    seed: int = 0
    formats: tuple[str, ...] = ("scene.npz",)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def run_key(self) -> str:
        """Changes with whatever changes the scene: method, preset, frames, seed, settings, and the version of the toolkit."""
        from toolkit import __version__

        return _digest([__version__, self.method, self.preset, self.frames, self.seed, dict(sorted(self.options.items()))])

    @property
    def files_key(self) -> str:
        """Changes with the result files that are asked for, but not with the scene."""
        return _digest([sorted(self.formats), self.seed])

    def as_json(self) -> dict[str, Any]:
        """For a worker or a file."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Wanted:
        """What `as_json` told, after a way through JSON."""
        return cls(**{**told, "formats": tuple(told["formats"]), "options": {k: _tuples(v) for k, v in told["options"].items()}})


def checked(
    *,
    method: str = "auto",
    preset: str = "normal",
    frames: int | None = None,
    seed: int = 0,
    formats: str | Iterable[str] = ("scene.npz",),
    options: Mapping[str, Any] | None = None,
) -> Wanted:
    """What is asked, known to be possible of some clip: a wrong word should be told once, not ten thousand times.

    Raises:
        UserError: an unknown method, preset, format or setting.
    """
    known = methods()
    if method not in (*known, "auto"):
        raise UserError(f"There is no method {method!r}; there are: auto, {', '.join(known)}.")
    if preset not in get_args(Preset):
        raise UserError(f"There is no preset {preset!r}; there are: {', '.join(get_args(Preset))}.")
    if frames is not None and (not isinstance(frames, int) or isinstance(frames, bool) or frames < 1):
        raise UserError(f"frames is {frames!r}, but a whole number from 1 is needed.")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise UserError(f"The seed is {seed!r}, but a whole number from 0 is needed.")
    asked = list(FORMATS) if formats == "all" else [formats] if isinstance(formats, str) else list(formats)
    unknown = [str(name) for name in asked if name not in FORMATS]
    if unknown:
        raise UserError(f"There is no export format {', '.join(map(repr, unknown))}; there are: all, {', '.join(FORMATS)}.")
    settings = dict(options or {})
    suited = known.values() if method == "auto" else [known[method]]
    for name in settings:
        if not any(name in [f.name for f in fields(info.settings)] for info in suited):
            raise UserError(f"No method has a setting {name!r}." if method == "auto" else f"The method {method} has no setting {name!r}.")
    try:
        json.dumps(settings)
    except (TypeError, ValueError) as problem:
        raise UserError(f"The settings of many clips must be numbers, texts or lists of these ({problem}).") from problem
    return Wanted(method, preset, frames, seed, tuple(name for name in FORMATS if name in {*asked, "scene.npz"}), settings)


def parse_value(text: str) -> Any:
    """The value of a setting that stands in a table: JSON where it can be, plain text otherwise.

    >>> parse_value("70"), parse_value("fine"), parse_value("[24, 24]")
    (70, 'fine', (24, 24))
    """
    try:
        return _tuples(json.loads(text))
    except json.JSONDecodeError:
        return text


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _tuples(value: Any) -> Any:
    """JSON knows lists alone; settings are tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
