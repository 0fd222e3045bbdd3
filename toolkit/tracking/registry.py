"""All point trackers by name. To add one: one file beside this one, one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from toolkit.errors import UserError
from toolkit.progress import Report
from toolkit.scene import F32, Tracks2D, Video
from toolkit.tracking import learned, vggsfm
from toolkit.tracking.classical import DRAFT, NORMAL, track_classical


class Tracker(Protocol):
    """Follows queries (N, 3), or a grid of its own when there are none; arguments as in `track_points`."""

    def __call__(self, video: Video, queries: F32 | None, *, grid: tuple[int, int], every: int, seed: int, report: Report) -> Tracks2D:
        """Tracks of `video`."""
        ...


def _needs_nothing() -> None:
    """For trackers without weights."""


@dataclass(frozen=True)
class TrackerInfo:
    """One tracker.

    Attributes:
        name: What to ask for.
        sentence: What it is, for a person.
        run: The function.
        licence: Terms of code and weights that are not part of this product; empty for our own.
        prepare: Makes sure, in seconds, that all it needs is there; a UserError says what is missing.
    """

    name: str
    sentence: str
    run: Tracker
    licence: str = ""
    prepare: Callable[[], None] = _needs_nothing


_NORMAL = partial(track_classical, settings=NORMAL)
_TRACKERS = (
    TrackerInfo("normal", "Merged optical-flow hops of several lengths, refined at full resolution; needs no weights.", _NORMAL),
    TrackerInfo("fine", "The same as normal: the best tracker that needs no weights.", _NORMAL),
    TrackerInfo("draft", "Merged flow hops without refinement, in half the time.", partial(track_classical, settings=DRAFT)),
    TrackerInfo(
        "cotracker3", learned.COTRACKER3.sentence, learned.track_cotracker3, learned.COTRACKER3.licence, learned.prepare_cotracker3
    ),
    TrackerInfo("tapir", learned.TAPIR.sentence, learned.track_tapir, learned.TAPIR.licence, learned.prepare_tapir),
    TrackerInfo("vggsfm", vggsfm.SENTENCE, vggsfm.track_vggsfm, vggsfm.LICENCE, vggsfm.prepare_vggsfm),
)
DEFAULT = "normal"


def trackers() -> dict[str, TrackerInfo]:
    """All trackers by name, the default first."""
    return {info.name: info for info in _TRACKERS}


def find_tracker(name: str) -> TrackerInfo:
    """The tracker of that name; "auto" is the default.

    Raises:
        UserError: If there is none.
    """
    known = trackers()
    if not isinstance(name, str):
        raise UserError(f"The tracker is {name!r}, but the name of one is needed: auto, {', '.join(known)}.")
    wanted = DEFAULT if name == "auto" else name
    if wanted not in known:
        raise UserError(f"There is no tracker {name!r}; there are auto, {', '.join(known)}.")
    return known[wanted]


def prepare_tracker(name: str) -> None:
    """Makes sure that a tracker can run, before work is done that it would come after.

    Raises:
        UserError: If there is no such tracker, or its weights or packages are missing.
    """
    find_tracker(name).prepare()
