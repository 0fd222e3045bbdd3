"""Calibration files as YAML, JSON or TOML, read without trusting their length, their depth, or what they say twice."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from toolkit.errors import UserError

MAX_BYTES = 4 << 20
"""A rig of a thousand cameras needs half a megabyte."""
MAX_YAML_BYTES = 512 << 10
"""YAML is read at a tenth of a megabyte a second."""
_TOO_DEEP = "brackets within brackets without end"


def read_text(path: Path, most: int = MAX_BYTES) -> str:
    """The text of a calibration file.

    Raises:
        UserError: it is longer than any calibration.
    """
    size = path.stat().st_size
    if size > most:
        raise UserError(f"{path.name} has {size / 1e6:.1f} MB, too much for a calibration; {most / 1e6:.1f} MB are read.")
    return path.read_text(errors="replace")


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, OpenCV's own form of it, too.

    Raises:
        UserError: it is longer than any calibration.
        ValueError: it is no YAML, or has aliases, which a few lines can make billions of numbers of.
    """
    text = re.sub(r"^%YAML[: ].*\n(---\n)?", "", read_text(path, MAX_YAML_BYTES)).replace("!!opencv-matrix", "")
    try:
        return yaml.load(text, _WithoutAliases)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as problem:
        raise ValueError(" ".join(str(problem).split())[:200]) from problem
    except RecursionError as problem:
        raise ValueError(_TOO_DEEP) from problem


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        UserError: it is longer than any calibration.
        ValueError: it is no JSON.
    """
    try:
        return json.loads(read_text(path))
    except RecursionError as problem:
        raise ValueError(_TOO_DEEP) from problem


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        UserError: it is longer than any calibration.
        ValueError: it is no TOML.
    """
    try:
        return tomllib.loads(read_text(path))
    except RecursionError as problem:
        raise ValueError(_TOO_DEEP) from problem


class _WithoutAliases(yaml.SafeLoader):
    """Plain data alone."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has aliases (*name), which are not read")
        return super().compose_node(parent, index)
