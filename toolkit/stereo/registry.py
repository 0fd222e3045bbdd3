"""The stereo matchers by name, and the door through which a person's own matcher comes in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import UserError
from toolkit.scene import F32, U8


@dataclass(frozen=True)
class SearchRange:
    """Whole disparities that are tried: minimum_px, minimum_px + 1, ..., maximum_px."""

    minimum_px: int
    maximum_px: int

    @property
    def count(self) -> int:
        """How many."""
        return self.maximum_px - self.minimum_px + 1


@dataclass(frozen=True, eq=False)
class Match:
    """What a matcher says about one pair before anything is checked or filled.

    Attributes:
        px: (H, W) float32 disparity of the left image, x_right = x_left - px; NaN where the matcher gives none.
        right_px: (H, W) float32 disparity of the right image, x_left = x_right + right_px; NaN where it gives none.
        margin: (H, W) float32 how far the second-best answer lies behind, in the matcher's own unit; None where it does not say.
    """

    px: F32
    right_px: F32
    margin: F32 | None = None


class Matcher(Protocol):
    """Finds the disparity of a rectified pair of (H, W, 3) uint8 images within a search range."""

    def __call__(self, left: U8, right: U8, search: SearchRange) -> Match:
        """Both eyes' disparities, unchecked."""
        ...


PairFunction = Callable[[U8, U8], ArrayLike]
"""A person's own matcher: (left, right), both (H, W, 3) uint8 RGB -> (H, W) disparity of the left image in px, NaN where unknown."""


@dataclass(frozen=True)
class MatcherInfo:
    """One entry of the registry.

    Attributes:
        match: The matcher.
        sentence: What it is good for, for a person.
        subpixel_steps: How often the fraction of a pixel is refined; more where the matcher's own is coarse.
    """

    match: Matcher
    sentence: str
    subpixel_steps: int = 1


_MATCHERS: dict[str, MatcherInfo] = {}


def matchers() -> dict[str, MatcherInfo]:
    """All matchers that `estimate_disparity` knows by name."""
    import toolkit.stereo.matchers  # noqa: F401  (registers the built-in ones)

    return dict(_MATCHERS)


def matcher_of(name: str) -> MatcherInfo:
    """The matcher of that name; "auto" is "normal".

    Raises:
        UserError: There is none.
    """
    known = matchers()
    if not isinstance(name, str):
        raise UserError(f"The matcher is {name!r}, but the name of one is needed: auto, {', '.join(known)}.")
    wanted = "normal" if name == "auto" else name
    if wanted not in known:
        raise UserError(f'There is no stereo matcher "{name}"; choose one of auto, {", ".join(known)}.')
    return known[wanted]


def add_matcher(name: str, match: Matcher, *, sentence: str, subpixel_steps: int = 1) -> None:
    """Registers a matcher that gives both eyes' disparities; a name that is taken is replaced."""
    _MATCHERS[name] = MatcherInfo(match, sentence, subpixel_steps)


def register_matcher(name: str, function: PairFunction, *, sentence: str = "A matcher of your own.") -> None:
    """Registers a person's own matcher, a learned one say, for `estimate_disparity(..., matcher=name)`.

    It is called twice a frame, the second time with the eyes mirrored and exchanged, so that its answer can be checked from the
    other eye as every matcher's is. Import heavy libraries inside the function: nothing is loaded before it is used. For example:

        def raft(left, right):
            import torch
            if not hasattr(raft, "net"):
                raft.net = torch.hub.load("owner/repository:commit", "model", trust_repo=True).eval()
            with torch.inference_mode():
                images = [torch.from_numpy(im).permute(2, 0, 1)[None].float() for im in (left, right)]
                return -raft.net(*images)[0, 0].numpy()          # left-to-right flow is negative disparity

        register_matcher("raft", raft)

    Args:
        name: What `matcher=` will be.
        function: (left, right), both (H, W, 3) uint8 -> (H, W) disparity of the left image in px, NaN where unknown.
        sentence: One sentence for lists of matchers.

    Raises:
        UserError: The name is one of the built-in ones.
    """
    if name == "auto" or name in {n for n in matchers() if n in ("draft", "normal", "fine")}:
        raise UserError(f'"{name}" is the name of a built-in matcher; register yours under another name.')

    def answer(left: U8, right: U8) -> F32:
        px = np.asarray(function(left, right), np.float32)
        if px.shape != left.shape[:2]:
            raise UserError(f'The matcher "{name}" gave an array of shape {px.shape}, but (H, W) = {left.shape[:2]} is needed.')
        return np.where(np.isfinite(px), px, np.float32(np.nan))

    def both_ways(left: U8, right: U8, search: SearchRange) -> Match:
        mirrored = answer(mirror(right), mirror(left))
        return Match(answer(left, right), mirror(mirrored))

    add_matcher(name, both_ways, sentence=sentence)


def mirror(image):
    """The image seen in a mirror, contiguous: a mirrored and exchanged pair is a pair again."""
    return np.ascontiguousarray(image[:, ::-1])
