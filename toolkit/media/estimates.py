"""What a run will cost, guessed from the number and size of frames before it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from toolkit.scene import Estimate, Kind

Preset = Literal["draft", "normal", "fine"]


@dataclass(frozen=True)
class Costs:
    """CPU-seconds and memory of a run with all its result files.

    Those of two eyes were fitted to runs of VR180 clips, those of photos to two sets of them; those of one camera are guesses.

    Attributes:
        start_s: Whatever the clip: imports, compiled code, a look at the file.
        decode_s_per_mpx: Reading and resampling raw frames, per million pixels.
        frame_s: Everything else per frame of 512 x 512 of the result, by preset, for kinds with two eyes.
        frame_s_mono: The same for one camera.
        doubling_frames: A clip of so many frames costs twice as much a frame as a short one: more and more tracks run through it.
        cores_used: CPU-seconds over wall seconds on two idle cores: not every step keeps both busy.
        frames_at_most: Frames that are used where nothing else is asked for.
        result_px_at_most: Perspective pictures are reduced to so many pixels.
        start_mb: Memory whatever the clip.
        decode_mb_per_mpx: The decoder's frames, per million pixels of a raw frame.
        frame_mb: Per frame of 512 x 512 of the result: both eyes, disparity, depth, flow, tracks.
        photo_s: Reading a photo and finding its features.
        pair_s: Matching two photos and what follows from it, by preset; fitted to 11 and 25 photos at normal, guessed for the others.
    """

    start_s: float = 3.0
    decode_s_per_mpx: float = 0.018
    frame_s: dict[Preset, float] = field(default_factory=lambda: {"draft": 0.24, "normal": 0.385, "fine": 0.49})
    frame_s_mono: dict[Preset, float] = field(default_factory=lambda: {"draft": 0.24, "normal": 0.48, "fine": 1.3})
    doubling_frames: float = 190.0
    cores_used: float = 1.6
    frames_at_most: int = 200
    result_px_at_most: int = 500_000
    start_mb: float = 500.0
    decode_mb_per_mpx: float = 60.0
    frame_mb: float = 3.3
    photo_s: float = 0.3
    pair_s: dict[Preset, float] = field(default_factory=lambda: {"draft": 0.08, "normal": 0.27, "fine": 0.8})


def estimate(kind: Kind, frames: int, size: tuple[int, int], views: int = 1, costs: Costs | None = None) -> dict[str, Estimate]:
    """Wall seconds on two idle cores (CPU-seconds over 1.6) and memory, by preset.

    Args:
        kind: What the recording is.
        frames: How many frames it has; 0 for unknown.
        size: (width, height) of a stored frame in pixels.
        views: How many videos are read side by side.
        costs: What each step costs.
    """
    c = costs or Costs()
    if kind == "photos":
        work_s = {preset: c.start_s + frames * c.photo_s + frames * (frames - 1) / 2 * pair_s for preset, pair_s in c.pair_s.items()}
        memory_mb = round(c.start_mb + c.decode_mb_per_mpx * size[0] * size[1] / 1e6)
        return {preset: Estimate(round(s / c.cores_used, 1), memory_mb) for preset, s in work_s.items()}
    used = min(frames or c.frames_at_most, c.frames_at_most)
    raw_mpx = size[0] * size[1] / 1e6
    growth = 1 + used / c.doubling_frames
    squares = 1.0
    if kind == "stereo":
        # Two eyes share a frame where there is one video.
        squares = min(size[0] * size[1] / (1 if views > 1 else 2), c.result_px_at_most) / 512**2
    per_frame = c.frame_s if kind in ("vr180", "stereo") else c.frame_s_mono
    work = used * squares * growth * (views**0.5 if kind == "multiview" else 1)
    shared_s = c.start_s + used * views * raw_mpx * c.decode_s_per_mpx
    held = used * squares * growth * (views if kind == "multiview" else 1)
    memory_mb = c.start_mb + c.decode_mb_per_mpx * raw_mpx + c.frame_mb * held
    return {preset: Estimate(round((shared_s + work * s) / c.cores_used, 1), round(memory_mb)) for preset, s in per_frame.items()}
