"""What can go wrong through no fault of the code, told in one sentence each."""

from __future__ import annotations


class UserError(ValueError):
    """Something a person can put right: what was wrong, what was expected, what to do, with the offending value.

    Every caller of the toolkit shows its text as it is: the page in a box, the shell on one line with exit code 2.
    Any other exception is a bug and keeps its traceback.
    """


class Cancelled(Exception):  # noqa: N818  (an event, not an error)
    """Raised inside a stage when the caller asked to stop; nothing half-written is left behind."""
