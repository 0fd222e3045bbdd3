"""Every kind of file of the bundle by name: what opens it, what it needs, who writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.export.camera_files import lacks_photo_lenses, write_photo_transforms, write_transforms, write_tum
from toolkit.export.cloud_files import write_glb, write_ply
from toolkit.export.colmap_files import lacks_pycolmap, write_colmap
from toolkit.export.dense_files import write_depth_maps
from toolkit.export.picture_files import write_depth_pngs, write_images, write_masks
from toolkit.export.rerun_files import lacks_rerun, write_rrd
from toolkit.export.tables import write_tracks_csv
from toolkit.export.view_files import write_views
from toolkit.media.encoding import Encoding
from toolkit.media.scene_file import save
from toolkit.media.stereo4d_npz import save_dataset_npz
from toolkit.media.video import write_video
from toolkit.scene import U8, Scene
from toolkit.views.depth import draw_depth
from toolkit.views.flyaround import draw_tracks_3d
from toolkit.views.overlay import draw_tracks
from toolkit.views.page import lacks as page_lacks
from toolkit.views.page import write_page
from toolkit.views.reprojections import draw_reprojections
from toolkit.views.two_maps import draw_pointmaps, lacks_pointmaps

# As good as the usual setting (signal to noise of drawn pictures), a fifth larger, in two thirds of the time.
_DRAWN = Encoding(crf=20, preset="superfast")

Tick = Callable[[], None]
"""Called often inside a writer: it may raise `Cancelled`."""


@dataclass(frozen=True)
class Format:
    """One kind of file in the bundle.

    Attributes:
        opens_with: One line on what opens it.
        write: (scene, path, tick, seed) -> notes for the manifest.
        lacks: What the scene lacks for it, or "".
    """

    opens_with: str
    write: Callable[[Scene, Path, Tick, int], Mapping[str, Any] | None]
    lacks: Callable[[Scene], str]


def _has(scene: Scene, *parts: str) -> bool:
    return all(getattr(scene, part) is not None for part in parts)


def _needs(*parts: str) -> Callable[[Scene], str]:
    """A `lacks` that names the missing parts."""
    return lambda scene: " and ".join(
        part.replace("tracks_2d", "2D tracks").replace("tracks_3d", "3D tracks") for part in parts if not _has(scene, part)
    )


def _poses(scene: Scene) -> str:
    return "" if scene.cameras is not None and scene.cameras.registered.any() else "camera poses"


def _any_tracks(scene: Scene) -> str:
    return "" if _has(scene, "tracks_2d") or _has(scene, "tracks_3d") else "tracks"


def _drawable_tracks(scene: Scene) -> str:
    if not _has(scene, "video"):
        return "video"
    return "" if _has(scene, "tracks_2d") or _has(scene, "tracks_3d", "cameras") else "2D tracks, or 3D tracks and cameras"


def _known_3d(scene: Scene) -> str:
    return "" if scene.tracks_3d is not None and bool((scene.tracks_3d.xyz == scene.tracks_3d.xyz).any()) else "3D tracks"


def _cloud(scene: Scene) -> str:
    return "" if _has(scene, "points") or _has(scene, "video", "depth", "cameras") else "points, or video and depth and cameras"


def _cloud_or_3d(scene: Scene) -> str:
    return "" if not _cloud(scene) or not _known_3d(scene) else "a cloud or 3D tracks"


def _dataset(scene: Scene) -> str:
    """Stereo4D's schema is metric and has a pose for every frame."""
    if scene.unit != "metre":
        return "a metric scale"
    if scene.cameras is None or scene.tracks_3d is None or not scene.cameras.registered.all():
        return "3D tracks and a pose for every frame"
    return ""


def _fps(scene: Scene) -> float:
    return scene.video.fps if scene.video is not None else 30.0


def _ticking(frames: Iterator[U8], tick: Tick) -> Iterator[U8]:
    for frame in frames:
        tick()
        yield frame


def _write_scene(scene: Scene, path: Path) -> dict[str, str]:
    # To the last bit it would be five times as large: too much for a download.
    save(scene, path, compact=True)
    return {"precision": "depth to 1 part in 2,000, video by H.264, all else exact; toolkit.save() keeps every bit"}


def _write_dataset(scene: Scene, path: Path) -> None:
    save_dataset_npz(scene, path)


def _write_video(draw: Callable[[Scene, int], Iterator[U8]], scene: Scene, path: Path, tick: Tick, seed: int) -> None:
    write_video(path, _ticking(draw(scene, seed), tick), _fps(scene), encoding=_DRAWN)


def _draw_tracks(scene: Scene, seed: int) -> Iterator[U8]:
    # Photos come in any order: a trail from one to the next would lead through nowhere; colours tell which point is which.
    return draw_tracks(scene, trail=0, colour="height", seed=seed) if scene.report.get("photos") else draw_tracks(scene, seed=seed)


def _reprojected(scene: Scene) -> str:
    if not _has(scene, "video", "cameras", "tracks_2d", "tracks_3d") or _poses(scene):
        return "video, cameras and tracks in 2D and 3D"
    return "" if scene.report.get("reprojection_error_px") is not None else "points that were placed by where pictures show them"


def _two_maps(scene: Scene) -> str:
    return "two pointmaps of every moment, as the method st4rtrack finds them" if scene.method != "st4rtrack" else lacks_pointmaps(scene)


def _write_page(scene: Scene, path: Path, tick: Tick, seed: int) -> None:
    write_page(scene, path, seed=seed, report=lambda *_: tick())


FORMATS: dict[str, Format] = {
    "scene.npz": Format(
        "toolkit.load(), numpy.load() (no pickle)",
        lambda scene, path, tick, seed: _write_scene(scene, path),
        lambda scene: "",
    ),
    "tracks.csv": Format(
        "any spreadsheet, pandas.read_csv()",
        lambda scene, path, tick, seed: write_tracks_csv(scene, path, seed=seed),
        _any_tracks,
    ),
    "tracks.mp4": Format(
        "any browser or player",
        lambda scene, path, tick, seed: _write_video(_draw_tracks, scene, path, tick, seed),
        _drawable_tracks,
    ),
    "views": Format(
        "any browser or player: the tracks in every camera's video; cameras.json beside them tells where the cameras are",
        write_views,
        lambda scene: "" if scene.views else "several cameras",
    ),
    "depth.mp4": Format(
        "any browser or player",
        lambda scene, path, tick, seed: _write_video(lambda s, n: draw_depth(s), scene, path, tick, seed),
        _needs("depth"),
    ),
    "reprojections.mp4": Format(
        "any browser or player",
        lambda scene, path, tick, seed: _write_video(lambda s, n: draw_reprojections(s, seed=n), scene, path, tick, seed),
        _reprojected,
    ),
    "tracks_3d.mp4": Format(
        "any browser or player",
        lambda scene, path, tick, seed: _write_video(lambda s, n: draw_tracks_3d(s, seed=n), scene, path, tick, seed),
        _known_3d,
    ),
    "pointmaps.mp4": Format(
        "any browser or player: what the first frame showed, moved along (orange, dim where hidden), and what each frame shows (blue)",
        lambda scene, path, tick, seed: _write_video(lambda s, n: draw_pointmaps(s), scene, path, tick, seed),
        _two_maps,
    ),
    "scene.html": Format(
        "any browser, without a network: the 4D scene to turn and play",
        _write_page,
        page_lacks,
    ),
    "depth": Format(
        "any tool that reads 16-bit PNG (OpenCV: cv2.imread(path, cv2.IMREAD_UNCHANGED)); depth = value * scale",
        lambda scene, path, tick, seed: write_depth_pngs(_part(scene.depth), path, tick),
        _needs("depth"),
    ),
    "images": Format(
        "any image viewer; transforms.json names them",
        lambda scene, path, tick, seed: write_images(_part(scene.video), path, tick),
        _needs("video"),
    ),
    "masks": Format(
        "any image viewer; splatting tools that take masks: 255 is what moves",
        lambda scene, path, tick, seed: write_masks(_part(scene.masks), path, tick),
        _needs("masks"),
    ),
    "cameras.tum": Format(
        "evo, the TUM RGB-D tools",
        lambda scene, path, tick, seed: write_tum(scene, path),
        _poses,
    ),
    "transforms.json": Format(
        "nerfstudio, instant-ngp and most splatting tools",
        lambda scene, path, tick, seed: write_transforms(scene, path),
        _poses,
    ),
    "transforms_photos.json": Format(
        "nerfstudio, beside your own photos: with the distortion of their lenses",
        lambda scene, path, tick, seed: write_photo_transforms(scene, path),
        lacks_photo_lenses,
    ),
    "colmap": Format(
        "COLMAP, pycolmap, Metashape, nerfstudio and splatting tools (sparse/0, depth maps in dense; the manifest says of which pictures)",
        lambda scene, path, tick, seed: {**write_colmap(scene, path, seed=seed), **write_depth_maps(scene, path, tick)},
        lambda scene: _poses(scene) or lacks_pycolmap(),
    ),
    "points.ply": Format(
        "MeshLab, CloudCompare, Blender",
        lambda scene, path, tick, seed: write_ply(_part(scene.points), path, unit=scene.unit),
        _cloud,
    ),
    "tracks.glb": Format(
        "Blender, Windows 3D Viewer, any glTF viewer",
        lambda scene, path, tick, seed: write_glb(scene, path, fps=_fps(scene), seed=seed),
        _cloud_or_3d,
    ),
    "scene.rrd": Format(
        "the Rerun viewer (pip install rerun-sdk; rerun scene.rrd)",
        write_rrd,
        lambda scene: (_poses(scene) and _known_3d(scene)) or lacks_rerun(),
    ),
    "stereo4d.npz": Format(
        "whatever reads the Stereo4D data set; toolkit.load_dataset_npz()",
        lambda scene, path, tick, seed: _write_dataset(scene, path),
        _dataset,
    ),
}
"""Every format by name. To add one: its writer in a file of this folder, one entry here."""


def _part(part: Any) -> Any:
    assert part is not None
    return part
