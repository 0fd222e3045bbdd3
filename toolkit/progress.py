"""How a long computation tells its caller where it is, and how the caller stops it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.scene import Scene

Report = Callable[[int, int], None]
"""What a stage calls after each unit of work: `report(done, total)`. It may raise `Cancelled` to stop the stage."""


@dataclass(frozen=True)
class Progress:
    """One event of a run.

    Attributes:
        stage: Short name of the running stage, such as "tracks".
        done: Units of this stage that are finished.
        total: Units of this stage in all; 0 when not known.
        message: One line for a person, such as "tracking points, frame 20 of 57".
        result: The scene, on the last event only.
    """

    stage: str
    done: int
    total: int
    message: str = ""
    result: Scene | None = None

    @property
    def fraction(self) -> float:
        """Share of the stage that is done, 0..1."""
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0


def silent(done: int, total: int) -> None:
    """A `Report` that tells nobody."""
