"""What each stage costs: CPU seconds, wall time and memory on generated data, each row in a process of its own."""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.scene import Cameras, Scene, Tracks2D, Tracks3D


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        name: What is measured, with its size.
        published: CPU seconds of the published implementation at the same size on a machine like this one, or None.
        body: (quick) -> number of repetitions inside the measured part; it marks that part with `measured()`.
    """

    name: str
    published: float | None
    body: Callable[[bool], int]


_cost: dict[str, float] = {}


@contextmanager
def measured() -> Iterator[None]:
    """Times what is inside: CPU of all threads, wall, and how far the peak of memory rose."""
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cpu, wall = time.process_time(), time.perf_counter()
    yield
    _cost["cpu_s"] = time.process_time() - cpu
    _cost["wall_s"] = time.perf_counter() - wall
    _cost["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    _cost["rise_mb"] = _cost["peak_mb"] - before_mb


def measure_all(*, quick: bool = False, only: str | None = None, tell: Callable[[str], None] = lambda line: None) -> list[dict[str, Any]]:
    """Measures every row whose name contains `only`; `quick` uses small sizes."""
    rows = []
    context = multiprocessing.get_context("spawn")
    for index, row in enumerate(ROWS):
        if only is not None and only not in row.name:
            continue
        tell(f"measuring: {row.name}")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            rows.append(pool.submit(_measure, index, quick).result())
    return rows


def _measure(index: int, quick: bool) -> dict[str, Any]:
    row = ROWS[index]
    repetitions = row.body(quick)
    cpu_s = _cost["cpu_s"] / repetitions
    ratio = row.published / cpu_s if row.published is not None and not quick else None
    return {
        "name": row.name,
        "cpu_s": round(cpu_s, 4),
        "wall_s": round(_cost["wall_s"] / repetitions, 4),
        "peak_mb": round(_cost["peak_mb"]),
        "rise_mb": round(_cost["rise_mb"]),
        "published_cpu_s": row.published,
        "times_faster": None if ratio is None else round(ratio, 1),
        "quick": quick,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    head = "| what | CPU s | wall s | peak MB | of it new | published CPU s | times faster |\n|---|---|---|---|---|---|---|"
    lines = [
        f"| {r['name']} | {r['cpu_s']:.3f} | {r['wall_s']:.3f} | {r['peak_mb']} | {r['rise_mb']} "
        f"| {'-' if r['published_cpu_s'] is None else r['published_cpu_s']} | {r['times_faster'] or '-'} |"
        for r in rows
    ]
    return "\n".join([head, *lines])


def _walks(count: int, frames: int, seed: int = 0) -> Scene:
    """Points on a slow random walk around a moving camera, seen in about 70 % of the frames, in runs."""
    rng = np.random.default_rng(seed)
    xyz = rng.uniform([-2, -1.5, 2], [2, 1.5, 8], (count, 1, 3)).astype(np.float32)
    steps = rng.normal(0, 0.01, (count, frames, 3)).astype(np.float32)
    steps *= rng.random((count, 1, 1)) < 0.3
    xyz = xyz + np.cumsum(steps, axis=1)
    starts = rng.integers(0, frames, count)
    lengths = rng.integers(frames // 2, frames, count)
    t = np.arange(frames)
    visible = (t >= starts[:, None] - lengths[:, None] // 2) & (t <= starts[:, None] + lengths[:, None] // 2)
    T_wc = np.tile(np.eye(4), (frames, 1, 1))
    T_wc[:, 0, 3] = np.linspace(0, 1, frames)
    from toolkit.geometry.cameras import intrinsics_from_fov

    cameras = Cameras.from_poses(intrinsics_from_fov(60, (512, 512)), T_wc, (512, 512))
    noise = rng.normal(0, 0.02, (count, frames, 1)).astype(np.float32)
    tracks = Tracks3D(
        np.where(visible[..., None], xyz * (1 + noise), np.nan),
        visible,
        np.full((count, 3), 128, np.uint8),
        np.zeros(count, np.float32),
        (0.02 * xyz[..., 2]).astype(np.float32),
    )
    return Scene(cameras=cameras, tracks_3d=tracks, method="stereo4d")


def _load_npz(quick: bool) -> int:
    from toolkit.media.stereo4d_npz import load_dataset_npz, save_dataset_npz

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "released.npz"
        save_dataset_npz(_walks(1000 if quick else 25_073, 177), path)
        load_dataset_npz(path)  # first call compiles
        with measured():
            load_dataset_npz(path)
    return 1


def _rectify(quick: bool) -> int:
    from toolkit.geometry.rig import default_vr180_rig
    from toolkit.stereo.rectify import Rectifier

    size = (960, 480) if quick else (3840, 1920)
    frame = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    rectifier = Rectifier(default_vr180_rig(size, "side-by-side"), fov_deg=60, size=512)
    rectifier(frame)
    with measured():
        for _ in range(10):
            rectifier(frame)
    return 10


def _prune(quick: bool) -> int:
    from toolkit.tracking import prune_tracks

    rng = np.random.default_rng(0)
    frames, per_frame = 177, 128 if quick else 16_384
    starts = np.arange(0, frames, 10)
    t = np.repeat(starts, per_frame)
    xy = rng.uniform(0, 512, (len(t), 1, 2)).astype(np.float32)
    walk = np.cumsum(rng.normal(0, 0.5, (len(t), frames, 2)).astype(np.float32), axis=1)
    walk -= walk[np.arange(len(t)), t][:, None]
    walk += xy
    visible = rng.random((len(t), frames)) < 0.8
    visible[np.arange(len(t)), t] = True
    queries = np.column_stack([t, xy[:, 0]]).astype(np.float32)
    tracks = Tracks2D(walk, visible, np.ones(visible.shape, np.float32), queries)
    prune_tracks(tracks.select(np.arange(100)))
    with measured():
        prune_tracks(tracks)
    return 1


def _motion(quick: bool) -> int:
    from toolkit.lifting import scene_motion

    scene = _walks(1000 if quick else 25_073, 177)
    assert scene.tracks_3d is not None and scene.cameras is not None
    scene_motion(scene.tracks_3d.select(np.arange(10)), scene.cameras)
    with measured():
        scene_motion(scene.tracks_3d, scene.cameras)
    return 1


def _optimise(quick: bool) -> int:
    from toolkit.lifting import optimize_tracks

    scene = _walks(1000 if quick else 25_073, 177)
    assert scene.tracks_3d is not None and scene.cameras is not None
    optimize_tracks(scene.tracks_3d.select(np.arange(10)), scene.cameras)
    with measured():
        optimize_tracks(scene.tracks_3d, scene.cameras)
    return 1


def _match(matcher: str) -> Callable[[bool], int]:
    def body(quick: bool) -> int:
        from toolkit.stereo import estimate_disparity
        from toolkit.synthetic import example

        clip = example("room", frames=2, size=(256, 256) if quick else (512, 512))
        assert clip.stereo is not None
        estimate_disparity(clip.stereo, matcher=matcher)
        with measured():
            estimate_disparity(clip.stereo, matcher=matcher)
        return 2

    return body


def _write_walk(path: Path, frames: int, size: tuple[int, int]) -> None:
    """A VR180 street of that many frames: up to 50 are generated at half size, and walked to and fro."""
    import cv2

    from toolkit.media.video import write_video
    from toolkit.synthetic import example

    eye = size[1] // 2
    made = example("street", frames=min(frames, 50), eye_size=(eye, eye), bounds_on="edges").video.frames
    there_and_back = [*range(len(made)), *range(len(made) - 2, 0, -1)]
    chosen = (made[there_and_back[t % len(there_and_back)]] for t in range(frames))
    write_video(path, (cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC).astype(np.uint8) for frame in chosen), 30.0)


def _whole_clip(frames: int) -> Callable[[bool], int]:
    def body(quick: bool) -> int:
        import toolkit as tk

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "street.mp4"
            # In another process, so that generating it does not count as memory of the run.
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                pool.submit(_write_walk, path, 8 if quick else frames, (1920, 960) if quick else (3840, 1920)).result()
            tk.run(path, frames=2, progress=lambda event: None)  # first calls compile
            with measured():
                scene = tk.run(path, progress=lambda event: None)
                tk.export(scene, Path(folder) / "out")
        return 1

    return body


ROWS = (
    Row("load a released npz, 25,073 tracks x 177 frames", 0.37, _load_npz),
    Row("rectify and crop, one 3840 x 1920 frame, both eyes", 2.2, _rectify),
    Row("prune, 294,912 queries x 177 frames", 1.5, _prune),
    Row("scene motion, 25,073 x 177", 6.7, _motion),
    Row("optimise, 25,073 x 177", 2500.0, _optimise),
    Row("match one 512 x 512 pair, draft", None, _match("draft")),
    Row("match one 512 x 512 pair, normal", None, _match("normal")),
    Row("match one 512 x 512 pair, fine", None, _match("fine")),
    Row("VR180 video 3840 x 1920 to result files, 50 frames", None, _whole_clip(50)),
    Row("VR180 video 3840 x 1920 to result files, 199 frames", None, _whole_clip(199)),
)
