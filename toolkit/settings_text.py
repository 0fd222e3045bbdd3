"""Settings of a method as a person types them: `name=value`."""

from __future__ import annotations

import json
from typing import Any

from toolkit.errors import UserError

RESERVED = ("frames", "preset", "method", "queries", "seed")
IN_PYTHON = ("path_or_noun", "K", "cameras", "masks", "progress")


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """Settings from `name=value` texts; values are JSON where they can be, plain text otherwise.

    >>> parse_settings(["fov_deg=70", "matcher=fine"])
    {'fov_deg': 70, 'matcher': 'fine'}
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if name.strip() in RESERVED:
            raise UserError(f"{name.strip()} is no setting of a method; it has an option of its own: --{name.strip()}, see run --help.")
        if name.strip() in IN_PYTHON:
            raise UserError(f"{name.strip()} is no setting of a method; it can be given in Python alone, as an argument of toolkit.run.")
        if not separator or not name:
            raise UserError(f"--set {pair} is not of the form name=value, such as --set fov_deg=70.")
        try:
            value: Any = json.loads(text)
        except (ValueError, RecursionError):  # no JSON, or a number of thousands of digits, or brackets in brackets
            value = text
        settings[name.strip()] = tuple(value) if isinstance(value, list) else value
    return settings
