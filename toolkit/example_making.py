"""Makes the shipped examples: each clip, its poster, and what a method finds in it, or the truth where no method takes it yet."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.gallery import CATALOGUE, RESULT_FILES, TRUTH, Entry, examples
from toolkit.progress import Progress
from toolkit.scene import F32, DepthVideo, PointCloud, Scene

MAX_TRACKS = 1000  # kept in scene.npz, moving ones first
MAX_POINTS = 10_000  # of its static cloud
DEPTH_BLOCK_PX = 4  # its depth is kept for every fourth pixel of every fourth row, and repeated
DEPTH_BITS = 7  # of the mantissa: 0.8 percent at worst
PAGE_BYTES = 450_000  # of scene.html
POSTER_QUALITY = 85
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)

Tell = Callable[[str], None]


def make_examples(folder: Path, *, only: Iterable[str] | None = None, tell: Tell = lambda _: None) -> dict[str, Path]:
    """Writes the gallery to a folder: clips, posters and results; the same bytes each time on the same installation.

    Args:
        folder: Made if needed; files of the same names are replaced.
        only: Names of the examples; None for all.
        tell: Called with a line now and then.

    Returns:
        The files by their path inside the folder.

    Raises:
        UserError: an unknown example, or a folder that can't be written.
    """
    names = list(CATALOGUE) if only is None else list(only)
    for name in names:
        if name not in CATALOGUE:
            raise UserError(f"There is no example {name!r}; there are: {', '.join(CATALOGUE)}.")
    written: dict[str, Path] = {}
    for name in names:
        for path in _make(name, CATALOGUE[name], Path(folder), tell):
            written[str(path.relative_to(folder))] = path
    return written


def _make(name: str, entry: Entry, folder: Path, tell: Tell) -> list[Path]:
    from toolkit.synthetic import TAKES, film, poster, write_clip

    place = folder / name
    (place / "result").mkdir(parents=True, exist_ok=True)
    tell(f"{name}: filming")
    clip = film(name)  # type: ignore[arg-type]
    path = write_clip(clip, folder / entry.clip, encoding=TAKES[name].encoding)  # type: ignore[index]
    picture = place / "poster.jpg"
    cv2.imwrite(str(picture), poster(clip)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, POSTER_QUALITY])
    scene = _found(path, entry, name, tell) if _has_method(entry) else _truth(clip)
    tell(f"{name}: {scene}")
    return [path, picture, *write_result(scene, place / "result")]


def _has_method(entry: Entry) -> bool:
    from toolkit.methods.registry import methods

    return any(entry.kind in info.inputs for info in methods().values())


def _found(path: Path, entry: Entry, name: str, tell: Tell) -> Scene:
    """What the method of choice finds in a clip."""
    from toolkit.run import run

    stages: set[str] = set()

    def listen(event: Progress) -> None:
        if event.stage not in stages:
            stages.add(event.stage)
            tell(f"{name}: {event.message}")

    return run(path, preset="normal", progress=listen, **entry.settings)


def _truth(clip: Any) -> Scene:
    """What is true of a clip, named so that nobody takes it for a method's result; the cloud is what all views see."""
    from toolkit.export.clouds import static_cloud
    from toolkit.synthetic import true_scene, true_views

    scene = true_scene(clip)
    moving = {"tracks_2d": scene.tracks_2d, "tracks_3d": scene.tracks_3d}
    views = true_views(clip)
    # Moving things are known in the first view's pixels alone; elsewhere the cloud's own tests leave them out.
    clouds = [static_cloud(replace(view, **moving) if i == 0 else view) for i, view in enumerate(views)]
    cloud = PointCloud(np.concatenate([c.xyz for c in clouds]), np.concatenate([c.rgb for c in clouds]))
    report = {
        "warnings": ["This is the ground truth of a generated clip, not the result of a method."],
        "quality": {},
        "seed": 0,
    }
    return replace(scene, method=TRUTH, points=cloud, report=report)


def write_result(scene: Scene, folder: Path, *, seed: int = 0) -> list[Path]:
    """Writes the result files of the gallery: the bundle's own, in fewer bytes, and a manifest that says so.

    Args:
        scene: The result of a method, or the truth.
        folder: Of the files; it exists.
        seed: Of the choices of tracks and points that are drawn.

    Returns:
        The files.
    """
    from toolkit.export.formats import FORMATS
    from toolkit.export.manifest import write_manifest
    from toolkit.media.scene_file import save
    from toolkit.media.video import Encoding, write_video
    from toolkit.views.depth import draw_depth
    from toolkit.views.flyaround import draw_tracks_3d
    from toolkit.views.overlay import draw_tracks

    encoding, fps = Encoding(crf=28, preset="slow"), scene.video.fps if scene.video is not None else 30.0
    write_video(folder / "tracks.mp4", draw_tracks(scene, seed=seed), fps, encoding=encoding)
    write_video(folder / "depth.mp4", draw_depth(scene), fps, encoding=encoding)
    write_video(folder / "tracks_3d.mp4", draw_tracks_3d(scene, seed=seed), fps, encoding=encoding)
    if "scene.html" in FORMATS:
        from toolkit.views.page import PageSettings, write_page

        write_page(scene, folder / "scene.html", seed=seed, settings=PageSettings(max_bytes=PAGE_BYTES))
    thin = thinned(scene, seed=seed)
    _packed_again(save(thin, folder / "scene.npz", compact=True))
    precision = (
        f"thinned for this example to {len(thin.tracks_2d or ())} tracks and {len(thin.points or ())} points; "
        f"depth of every {DEPTH_BLOCK_PX}th pixel to 1 percent; a run of your own gives all of it"
    )
    notes: dict[str, dict[str, Any]] = {
        name: {"opens_with": FORMATS[name].opens_with} for name in RESULT_FILES if (folder / name).is_file() and name in FORMATS
    }
    notes["scene.npz"]["precision"] = precision
    manifest = write_manifest(thin, folder, notes, {}, seed)
    return [*(folder / name for name in notes), manifest]


def thinned(scene: Scene, *, seed: int = 0) -> Scene:
    """A scene with fewer tracks and points, and numbers that pack well: small enough to travel with the program.

    Args:
        scene: With cameras, video, tracks and depth.
        seed: Of the choice of tracks and points.
    """
    from toolkit.views.overlay import choose_indices

    rng = np.random.default_rng(seed)
    parts: dict[str, Any] = {}
    if scene.tracks_2d is not None and scene.tracks_3d is not None:
        kept = choose_indices(scene, MAX_TRACKS, seed=seed)
        flat, solid = scene.tracks_2d.select(kept), scene.tracks_3d.select(kept)
        # A 16th of a pixel; positions to a millimetre; how sure they are to a few percent.
        parts["tracks_2d"] = replace(
            flat,
            xy=np.round(flat.xy * 16) / 16,
            confidence=np.round(flat.confidence * 16) / 16,
            sigma_px=None if flat.sigma_px is None else _rounded(flat.sigma_px, 3),
        )
        parts["tracks_3d"] = replace(
            solid, xyz=np.round(solid.xyz * 1024) / 1024, sigma=None if solid.sigma is None else _rounded(solid.sigma, 3)
        )
    if scene.depth is not None:
        depth, sure = _blocks(scene.depth.depth), _blocks(scene.depth.confidence)
        parts["depth"] = DepthVideo(_rounded(depth, DEPTH_BITS), np.round(sure * 4) / np.float32(4), scene.depth.unit)
    if scene.points is not None:
        some = np.sort(rng.choice(len(scene.points), min(MAX_POINTS, len(scene.points)), replace=False))
        parts["points"] = PointCloud(np.round(scene.points.xyz[some] * 512) / 512, scene.points.rgb[some])
    return replace(scene, **parts)


def _blocks(values: F32) -> F32:
    """(T, H, W) the middle one of each block of pixels, in all of its pixels: real measurements, never a mean across an edge."""
    n, (h, w) = DEPTH_BLOCK_PX, values.shape[1:]
    rows, columns = (np.minimum(np.arange(size) // n * n + n // 2, size - 1) for size in (h, w))
    return values[:, rows[:, None], columns]


def _rounded(values: NDArray, bits: int) -> F32:
    """Numbers to so many bits of their mantissa."""
    mantissa, exponent = np.frexp(np.asarray(values, np.float32))
    return np.ldexp(np.round(mantissa * 2**bits) / 2**bits, exponent).astype(np.float32)


def _packed_again(path: Path) -> Path:
    """The same .npz with all the effort that packing can make: a third fewer bytes, at a second once."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_DATE), data, zipfile.ZIP_DEFLATED, 9)
    return path


def examples_command(
    out: Annotated[Path, typer.Option(help="Folder for the clips and their results.")],
    only: Annotated[str | None, typer.Option(help="Names of examples, separated by commas; all otherwise.")] = None,
) -> None:
    """Makes the shipped examples again: generated clips, and what the methods find in them."""
    names = None if only is None else [name.strip() for name in only.split(",")]
    for path in make_examples(out, only=names, tell=lambda line: print(line, flush=True)).values():
        print(f"wrote {path}")
    print(f"{len(examples(out))} examples in {out}")
