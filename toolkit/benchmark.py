"""What each stage costs: CPU seconds, wall time and memory on generated data, each row in a process of its own."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.memory import peak_mb
from toolkit.scene import Cameras, Scene, Tracks2D, Tracks3D


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        name: What is measured, with places for its sizes.
        full: The sizes that are told.
        small: The sizes of a quick look.
        published: CPU seconds of the published implementation at the full size on a machine like this one, or None.
        body: (sizes) -> number of repetitions inside the measured part; it marks that part with `measured()`.
    """

    name: str
    full: tuple[int, ...]
    small: tuple[int, ...]
    published: float | None
    body: Callable[[tuple[int, ...]], int]

    def sizes(self, quick: bool) -> tuple[int, ...]:
        """The sizes that are measured."""
        return self.small if quick else self.full

    def told(self, quick: bool) -> str:
        """The name with the sizes that are measured."""
        return self.name.format(*(f"{size:,}" if size >= 10_000 else size for size in self.sizes(quick)))


_cost: dict[str, float] = {}


@contextmanager
def measured() -> Iterator[None]:
    """Times what is inside: CPU of all threads, wall, and how far the peak of memory rose."""
    before_mb = peak_mb()
    cpu, wall = time.process_time(), time.perf_counter()
    yield
    _cost["cpu_s"] = time.process_time() - cpu
    _cost["wall_s"] = time.perf_counter() - wall
    _cost["peak_mb"] = peak_mb()
    _cost["rise_mb"] = _cost["peak_mb"] - before_mb


def measure_all(*, quick: bool = False, only: str | None = None, tell: Callable[[str], None] = lambda line: None) -> list[dict[str, Any]]:
    """Measures every row whose name contains `only`; `quick` uses small sizes."""
    rows = []
    context = multiprocessing.get_context("spawn")
    for index, row in enumerate(ROWS):
        if only is not None and not matches(row, only, quick):
            continue
        tell(f"measuring: {row.told(quick)}")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            rows.append(pool.submit(_measure, index, quick).result())
    return rows


def matches(row: Row, only: str, quick: bool) -> bool:
    """Whether the name of a row contains a text, at any size."""
    return only in row.told(False) or only in row.told(quick)


def _measure(index: int, quick: bool) -> dict[str, Any]:
    row = ROWS[index]
    repetitions = row.body(row.sizes(quick))
    cpu_s = _cost["cpu_s"] / repetitions
    ratio = row.published / cpu_s if row.published is not None and not quick else None
    return {
        "name": row.told(quick),
        "cpu_s": round(cpu_s, 4),
        "wall_s": round(_cost["wall_s"] / repetitions, 4),
        "peak_mb": round(_cost["peak_mb"]),
        "rise_mb": round(_cost["rise_mb"]),
        "published_cpu_s": None if quick else row.published,
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


def _load_npz(sizes: tuple[int, ...]) -> int:
    from toolkit.media.stereo4d_npz import load_dataset_npz, save_dataset_npz

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "released.npz"
        save_dataset_npz(_walks(*sizes), path)
        load_dataset_npz(path)  # first call compiles
        with measured():
            load_dataset_npz(path)
    return 1


def _rectify(size: tuple[int, ...]) -> int:
    from toolkit.geometry.rig import default_vr180_rig
    from toolkit.stereo.rectify import Rectifier

    width, height = size
    frame = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    rectifier = Rectifier(default_vr180_rig((width, height), "side-by-side"), fov_deg=60, size=512)
    rectifier(frame)
    with measured():
        for _ in range(10):
            rectifier(frame)
    return 10


def _prune(sizes: tuple[int, ...]) -> int:
    from toolkit.tracking import prune_tracks

    rng = np.random.default_rng(0)
    queries, frames = sizes
    starts = np.arange(0, frames, 10)
    t = np.repeat(starts, queries // len(starts))
    xy = rng.uniform(0, 512, (len(t), 1, 2)).astype(np.float32)
    walk = np.cumsum(rng.normal(0, 0.5, (len(t), frames, 2)).astype(np.float32), axis=1)
    walk -= walk[np.arange(len(t)), t][:, None]
    walk += xy
    visible = rng.random((len(t), frames)) < 0.8
    visible[np.arange(len(t)), t] = True
    asked = np.column_stack([t, xy[:, 0]]).astype(np.float32)
    tracks = Tracks2D(walk, visible, np.ones(visible.shape, np.float32), asked)
    prune_tracks(tracks.select(np.arange(100)))
    with measured():
        prune_tracks(tracks)
    return 1


def _motion(sizes: tuple[int, ...]) -> int:
    from toolkit.lifting import scene_motion

    scene = _walks(*sizes)
    assert scene.tracks_3d is not None and scene.cameras is not None
    scene_motion(scene.tracks_3d.select(np.arange(10)), scene.cameras)
    with measured():
        scene_motion(scene.tracks_3d, scene.cameras)
    return 1


def _optimise(sizes: tuple[int, ...]) -> int:
    from toolkit.lifting import optimize_tracks

    scene = _walks(*sizes)
    assert scene.tracks_3d is not None and scene.cameras is not None
    optimize_tracks(scene.tracks_3d.select(np.arange(10)), scene.cameras)
    with measured():
        optimize_tracks(scene.tracks_3d, scene.cameras)
    return 1


def _match(matcher: str) -> Callable[[tuple[int, ...]], int]:
    def body(size: tuple[int, ...]) -> int:
        from toolkit.stereo import estimate_disparity
        from toolkit.synthetic import example

        width, height = size
        clip = example("room", frames=2, size=(width, height))
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


def _whole_clip(sizes: tuple[int, ...]) -> int:
    import toolkit as tk

    width, height, frames = sizes
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "street.mp4"
        # In another process, so that generating it does not count as memory of the run.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            pool.submit(_write_walk, path, frames, (width, height)).result()
        tk.run(path, frames=2, progress=lambda event: None)  # first calls compile
        with measured():
            scene = tk.run(path, progress=lambda event: None)
            tk.export(scene, Path(folder) / "out")
    return 1


def _video_cameras(size: tuple[int, ...]) -> int:
    from toolkit.geometry.cameras import intrinsics_from_fov
    from toolkit.media.video import write_video
    from toolkit.methods.vggsfm import reconstruct
    from toolkit.synthetic.clips import look_pinhole
    from toolkit.synthetic.motions import Handheld
    from toolkit.synthetic.places import street

    width, height, frames = size
    world, K = street(0), intrinsics_from_fov(65, (width, height))
    walk = Handheld((-4.3, -1.55, -1.9), (0.06, 0, 0.8), yaw_deg=22, turn_deg_s=-2.5)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "walk.mp4"
        write_video(clip, (look_pinhole(world, K, (width, height), walk(t / 30), t / 30).rgb for t in range(frames)), 30.0)
        with measured():
            reconstruct(clip)
    return 1


def _network(sizes: tuple[int, ...]) -> int:
    import torch

    from toolkit.models.mvtracker import MVTracker

    views, frames, width, height = sizes
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    network = MVTracker().eval()
    K = np.tile(np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]]), (views, frames, 1, 1))
    T_cw = np.tile(np.eye(4)[:3], (views, frames, 1, 1))
    T_cw[..., 0, 3] = 0.1 * np.arange(views)[:, None]
    images = rng.integers(0, 255, (views, frames, 3, height, width), np.uint8)
    depth = rng.uniform(4, 6, (views, frames, 1, height, width)).astype(np.float32)
    queries = np.column_stack([np.zeros(100), rng.uniform([-1, -1, 4], [1, 1, 6], (100, 3))])
    with measured():
        network.track(images, depth, K, T_cw, queries, 2)
    return 1


ROWS = (
    Row("load a released npz, {} tracks x {} frames", (25_073, 177), (1000, 177), 0.37, _load_npz),
    Row("rectify and crop, one {} x {} frame, both eyes", (3840, 1920), (960, 480), 2.2, _rectify),
    Row("prune, {} queries x {} frames", (294_912, 177), (2304, 177), 1.5, _prune),
    Row("scene motion, {} x {}", (25_073, 177), (1000, 177), 6.7, _motion),
    Row("optimise, {} x {}", (25_073, 177), (1000, 177), 2500.0, _optimise),
    Row("match one {} x {} pair, draft", (512, 512), (256, 256), None, _match("draft")),
    Row("match one {} x {} pair, normal", (512, 512), (256, 256), None, _match("normal")),
    Row("match one {} x {} pair, fine", (512, 512), (256, 256), None, _match("fine")),
    Row("VR180 video {} x {} to result files, {} frames", (3840, 1920, 50), (1920, 960, 8), None, _whole_clip),
    Row("VR180 video {} x {} to result files, {} frames", (3840, 1920, 199), (1920, 960, 16), None, _whole_clip),
    Row(
        "MVTracker's network, {} views x {} frames of {} x {}, 100 points, 2 iterations", (4, 12, 512, 384), (2, 12, 96, 64), 36.8, _network
    ),
    Row("video {} x {} to cameras and points, {} frames", (640, 480, 100), (320, 240, 30), None, _video_cameras),
)
