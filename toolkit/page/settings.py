"""The settings of any method as lines of text: what it knows, and what a visitor asks for."""

from __future__ import annotations

import ast
import re
from dataclasses import MISSING, fields
from typing import Any

from toolkit.errors import UserError
from toolkit.methods.registry import methods

_ENTRY = re.compile(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", re.MULTILINE)
_ELSEWHERE = {"layout", "projection", "labels", "max_frames"}


def explain_settings(method: str) -> str:
    """A markdown table of a method's settings: name, default, meaning."""
    noun = methods()[method].settings
    meanings = {name: " ".join(text.split()) for name, text in _ENTRY.findall(noun.__doc__ or "")}
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for field in fields(noun):
        if field.name in _ELSEWHERE:
            continue
        default = "" if field.default is MISSING or field.default is None else f"`{field.default}`"
        rows.append(f"| `{field.name}` | {default} | {meanings.get(field.name, '').replace('|', '/')} |")
    return "\n".join(rows)


def parse_settings(text: str, method: str | None) -> dict[str, Any]:
    """Settings from lines `name = value`; values are numbers, words, True, False or lists in brackets.

    Raises:
        UserError: a line that is no such thing, or a name that the method does not know; it is told.
    """
    known = {field.name for field in fields(methods()[method].settings)} if method in methods() else None
    options: dict[str, Any] = {}
    for line in (text or "").splitlines():
        if not line.strip():
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not name.isidentifier() or not value:
            raise UserError(f"The line {line.strip()[:60]!r} is no setting; write it like fov_deg = 80.")
        if known is not None and name not in known:
            raise UserError(f"The method {method} has no setting {name!r}; it has: {', '.join(sorted(known))}.")
        try:
            options[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            options[name] = value.strip("'\"")
    return options
