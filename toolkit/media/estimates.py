"""What a run will cost, guessed from the number and size of frames before it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from toolkit.scene import Estimate, Kind

Preset = Literal["draft", "normal", "fine"]


@dataclass(frozen=True)
class Costs:
    """CPU-seconds and memory of a run with all its result files.

    Those of two eyes were fitted to runs of VR180 clips, those of photos to two sets of them, those of one camera to ten clips of 34 to
    1000 frames, those of one camera and what moves to three clips of 48 to 142; those of several cameras are guesses.

    Attributes:
        start_s: Whatever the clip: imports, compiled code, a look at the file.
        decode_s_per_mpx: Reading and resampling raw frames, per million pixels.
        frame_s: Everything else per frame of 512 x 512 of the result, by preset, for kinds with two eyes.
        frame_s_views: The same for several cameras.
        frame_s_mono: Following points through a frame of one camera, placing it, finding what moves, its depth and its files, by preset;
            measured at normal, guessed for the others.
        grow_s_mono: Growing a model of such a clip from several pairs, whatever its length; likewise.
        side_mono: Frames of one camera are reduced to so many pixels for that, by preset.
        shown_mpx: Millions of pixels of all frames of one camera's result together; longer clips are shown smaller.
        shown_mb_per_mpx: These pictures, and finding what moves in them.
        frame_mb_mono: What is kept of every frame of one camera beside its picture.
        side_tracks: Frames of one camera whose things move are reduced to so many pixels, by preset.
        frame_s_tracks: Following points through such a frame of 640 x 480, drawing it and writing its files, by preset.
        window_s: Finding the cameras of a window of frames from the points, and what moves in them.
        joint_s: Adjusting the windows of a longer clip together.
        window_frames: So many frames a window has, ...
        window_new: ... of which so many are not in the one before.
        frame_s_dense: Dense depth of a frame of one camera whose things move, by preset: matching, spreading, asking the network.
        frame_mb_dense: Depth and its confidence of such a frame, per million pixels.
        held_frames_dense: So many frames of such a clip are in memory at a time, the others on disk; with `start_mb_dense` fitted to clips
            of 100 to 1000 frames of 256 x 256 and 200 of 512 x 512.
        start_mb_dense: Memory of such a run whatever the clip.
        track_mb: What is held of each frame beside its picture, by preset: it goes with the points that run through it.
        doubling_frames: A clip of so many frames costs twice as much a frame as a short one: more and more tracks run through it.
        cores_used: CPU-seconds over wall seconds on two idle cores: not every step keeps both busy.
        frames_at_most: Frames that are used where nothing else is asked for.
        result_px_at_most: Perspective pictures are reduced to so many pixels.
        start_mb: Memory whatever the clip.
        start_mb_photos: The same of photos, of which several are compared at a time.
        decode_mb_per_mpx: The decoder's frames, per million pixels of a raw frame.
        frame_mb: Per frame of 512 x 512 of the result: both eyes, disparity, depth, flow, tracks.
        photo_s: Reading a photo and finding its features.
        pair_s: Matching two photos and what follows from it, by preset; fitted to 11 and 25 photos at normal, guessed for the others.
        depth_s: Depth of every pixel of a photo, by preset ...
        depth_photos: ... of at most so many; the others take over what falls into them.
        depth_mb_per_mpx: Depth, its confidence and the picture of each photo of the result, of at most `depth_mpx` together.
        depth_mpx: Millions of pixels of all pictures of the result with depth.
    """

    start_s: float = 3.0
    decode_s_per_mpx: float = 0.018
    frame_s: dict[Preset, float] = field(default_factory=lambda: {"draft": 0.24, "normal": 0.385, "fine": 0.49})
    frame_s_views: dict[Preset, float] = field(default_factory=lambda: {"draft": 0.24, "normal": 0.48, "fine": 1.3})
    frame_s_mono: dict[Preset, float] = field(default_factory=lambda: {"draft": 0.28, "normal": 0.4, "fine": 0.65})
    grow_s_mono: dict[Preset, float] = field(default_factory=lambda: {"draft": 12.0, "normal": 20.0, "fine": 30.0})
    side_mono: dict[Preset, int] = field(default_factory=lambda: {"draft": 640, "normal": 960, "fine": 1440})
    shown_mpx: float = 85.0
    shown_mb_per_mpx: float = 24.0
    frame_mb_mono: float = 0.15
    side_tracks: dict[Preset, int] = field(default_factory=lambda: {"draft": 512, "normal": 768, "fine": 1024})
    frame_s_tracks: dict[Preset, float] = field(default_factory=lambda: {"draft": 0.165, "normal": 0.29, "fine": 0.45})
    frame_s_dense: dict[Preset, float] = field(default_factory=lambda: {"draft": 0.06, "normal": 0.15, "fine": 0.35})
    frame_mb_dense: float = 14.0
    held_frames_dense: int = 80
    start_mb_dense: float = 600.0
    window_s: float = 3.5
    joint_s: float = 13.0
    window_frames: int = 60
    window_new: int = 40
    track_mb: dict[Preset, float] = field(default_factory=lambda: {"draft": 2.0, "normal": 2.2, "fine": 5.0})
    doubling_frames: float = 190.0
    cores_used: float = 1.6
    frames_at_most: int = 200
    result_px_at_most: int = 500_000
    start_mb: float = 500.0
    start_mb_photos: float = 900.0
    decode_mb_per_mpx: float = 60.0
    frame_mb: float = 3.3
    photo_s: float = 0.3
    pair_s: dict[Preset, float] = field(default_factory=lambda: {"draft": 0.08, "normal": 0.27, "fine": 0.8})
    depth_s: dict[Preset, float] = field(default_factory=lambda: {"draft": 0.7, "normal": 2.4, "fine": 4.5})
    depth_photos: dict[Preset, int] = field(default_factory=lambda: {"draft": 30, "normal": 60, "fine": 120})
    depth_mb_per_mpx: float = 14.0
    depth_mpx: float = 100.0


def estimate(
    kind: Kind, frames: int, size: tuple[int, int], views: int = 1, costs: Costs | None = None, *, method: str = "auto"
) -> dict[str, Estimate]:
    """Wall seconds on two idle cores (CPU-seconds over 1.6) and memory, by preset.

    Args:
        kind: What the recording is.
        frames: How many frames it has; 0 for unknown.
        size: (width, height) of a stored frame in pixels.
        views: How many videos are read side by side.
        costs: What each step costs.
        method: Of those for one camera; the others have a kind of recording to themselves.
    """
    c = costs or Costs()
    if kind == "photos":
        work_s = {
            preset: c.start_s
            + frames * c.photo_s
            + frames * (frames - 1) / 2 * pair_s
            + min(frames, c.depth_photos[preset]) * c.depth_s[preset]
            for preset, pair_s in c.pair_s.items()
        }
        held_mpx = min(frames * min(size[0] * size[1] / 1e6, 1.9), c.depth_mpx)
        memory_mb = round(c.start_mb_photos + c.decode_mb_per_mpx * size[0] * size[1] / 1e6 + c.depth_mb_per_mpx * held_mpx)
        return {preset: Estimate(round(s / c.cores_used, 1), memory_mb) for preset, s in work_s.items()}
    if kind == "tracks":
        return _of_known_tracks(frames or c.frames_at_most, c)
    if kind == "mono" and method in ("tracksto4d", "st4rtrack"):
        return _of_tracks(frames or c.frames_at_most, size, c, dense=method == "st4rtrack")
    if kind == "mono":
        return _of_one_camera(frames or c.frames_at_most, size, c)
    used = min(frames or c.frames_at_most, c.frames_at_most)
    raw_mpx = size[0] * size[1] / 1e6
    growth = 1 + used / c.doubling_frames
    squares = 1.0
    if kind == "stereo":
        # Two eyes share a frame where there is one video.
        squares = min(size[0] * size[1] / (1 if views > 1 else 2), c.result_px_at_most) / 512**2
    per_frame = c.frame_s if kind in ("vr180", "stereo") else c.frame_s_views
    work = used * squares * growth * (views**0.5 if kind == "multiview" else 1)
    shared_s = c.start_s + used * views * raw_mpx * c.decode_s_per_mpx
    held = used * squares * growth * (views if kind == "multiview" else 1)
    memory_mb = c.start_mb + c.decode_mb_per_mpx * raw_mpx + c.frame_mb * held
    return {preset: Estimate(round((shared_s + work * s) / c.cores_used, 1), round(memory_mb)) for preset, s in per_frame.items()}


def _of_one_camera(frames: int, size: tuple[int, int], c: Costs) -> dict[str, Estimate]:
    """Every frame is read twice, for following points and for the result; points are followed in smaller ones."""
    raw_mpx = size[0] * size[1] / 1e6
    memory_mb = round(
        c.start_mb + c.decode_mb_per_mpx * raw_mpx + c.shown_mb_per_mpx * min(c.shown_mpx, frames * raw_mpx) + c.frame_mb_mono * frames
    )
    told = {}
    for preset, frame_s in c.frame_s_mono.items():
        side = min(1.0, c.side_mono[preset] / max(size))
        # Half of the work goes with the pixels; a frame of 640 x 480 was measured.
        work_s = frame_s * (0.5 + 0.5 * raw_mpx * side**2 / 0.307)
        in_all_s = c.start_s + c.grow_s_mono[preset] + frames * (2 * raw_mpx * c.decode_s_per_mpx + work_s)
        told[preset] = Estimate(round(in_all_s / c.cores_used, 1), memory_mb)
    return told


def _of_known_tracks(frames: int, c: Costs) -> dict[str, Estimate]:
    """Tracks that come in a file are explained alike by every preset."""
    seconds = round((c.start_s + _explained_s(frames, c)) / c.cores_used, 1)
    return {preset: Estimate(seconds, round(c.start_mb + frames * c.track_mb["normal"])) for preset in c.track_mb}


def _explained_s(frames: int, c: Costs) -> float:
    """CPU-seconds that tracks through so many frames are explained in, window by window."""
    windows = 1 if frames <= c.window_frames else -(-(frames - c.window_frames + c.window_new) // c.window_new)
    return windows * c.window_s + (c.joint_s if windows > 1 else 0)


def _of_tracks(frames: int, size: tuple[int, int], c: Costs, *, dense: bool = False) -> dict[str, Estimate]:
    """Points are followed through all frames that are used, then explained window by window; dense depth may follow."""
    used, raw_mpx, told = min(frames, c.frames_at_most), size[0] * size[1] / 1e6, {}
    explained_s = _explained_s(used, c)
    for preset, frame_s in c.frame_s_tracks.items():
        held_mpx = min(raw_mpx * min(1.0, c.side_tracks[preset] / max(size)) ** 2, c.shown_mpx / used)
        work_s = used * (raw_mpx * c.decode_s_per_mpx + frame_s * (0.5 + 0.5 * held_mpx / 0.307)) + explained_s
        work_s += used * c.frame_s_dense[preset] if dense else 0.0
        start_mb, held = (c.start_mb_dense, min(used, c.held_frames_dense)) if dense else (c.start_mb, used)
        memory_mb = start_mb + c.decode_mb_per_mpx * raw_mpx + held * (c.track_mb[preset] + 8 * held_mpx)
        memory_mb += held * held_mpx * c.frame_mb_dense if dense else 0.0
        told[preset] = Estimate(round((c.start_s + work_s) / c.cores_used, 1), round(memory_mb))
    return told
