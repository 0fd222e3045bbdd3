"""Numbers in sentences for a person."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "frame"), counted(12, "frame")
    ('1 frame', '12 frames')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
