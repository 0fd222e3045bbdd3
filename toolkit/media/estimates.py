"""What a run will cost, guessed from the number and size of frames before it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from toolkit.scene import Estimate, Kind

Preset = Literal["draft", "normal", "fine"]


@dataclass(frozen=True)
class Costs:
    """Measured on two cores of a small server; wall seconds.

    Attributes:
        start_s: Whatever the clip: imports, first calls.
        decode_s_per_mpx: Reading and resampling a raw frame, per million pixels.
        frame_s: Everything else per frame of the result, by preset, for kinds with two eyes.
        frame_s_mono: The same for one camera.
        frames_at_most: Frames that are used where nothing else is asked for.
        start_mb: Memory whatever the clip.
        frame_mb: Memory per frame of the result: both eyes, disparity, depth, flow, tracks at 512 px.
    """

    start_s: float = 3.0
    decode_s_per_mpx: float = 0.012
    frame_s: dict[Preset, float] = field(default_factory=lambda: {"draft": 0.2, "normal": 0.4, "fine": 1.0})
    frame_s_mono: dict[Preset, float] = field(default_factory=lambda: {"draft": 0.15, "normal": 0.3, "fine": 0.8})
    frames_at_most: int = 200
    start_mb: float = 450.0
    frame_mb: float = 7.0


def estimate(kind: Kind, frames: int, size: tuple[int, int], views: int = 1, costs: Costs | None = None) -> dict[str, Estimate]:
    """Seconds and memory by preset.

    Args:
        kind: What the recording is.
        frames: How many frames it has; 0 for unknown.
        size: (width, height) of a stored frame in pixels.
        views: How many videos are read side by side.
        costs: What each step costs.
    """
    c = costs or Costs()
    used = min(frames or c.frames_at_most, c.frames_at_most)
    decode_s = used * views * c.decode_s_per_mpx * size[0] * size[1] / 1e6
    per_frame = c.frame_s if kind in ("vr180", "stereo") else c.frame_s_mono
    memory_mb = c.start_mb + c.frame_mb * used * max(1, views if kind == "multiview" else 1)
    return {preset: Estimate(round(c.start_s + decode_s + used * views**0.5 * s, 1), round(memory_mb)) for preset, s in per_frame.items()}
