"""Makes the shipped examples: each clip, its poster, and what a method finds in it."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from toolkit.errors import UserError
from toolkit.gallery import CATALOGUE, RESULT_FILES, Entry, examples
from toolkit.progress import Progress
from toolkit.scene import U8, Scene
from toolkit.thinning import DEPTH_BLOCK_PX, thinned

POSTER_QUALITY = 85
BANNER_HEIGHT_PX = 411
BANNER_MOMENT = 0.75  # of the clip: trails have grown by then
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
    for old in RESULT_FILES:  # another method may have nothing for some of them
        (place / "result" / old).unlink(missing_ok=True)
    tell(f"{name}: filming")
    clip = film(name)  # type: ignore[arg-type]
    path = write_clip(clip, folder / entry.clip, encoding=TAKES[name].encoding)  # type: ignore[index]
    picture = place / "poster.jpg"
    cv2.imwrite(str(picture), poster(clip)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, POSTER_QUALITY])
    scene = _found(path, entry, name, tell)
    tell(f"{name}: {scene}")
    written = [path, picture, *write_result(scene, place / "result")]
    if name == next(iter(CATALOGUE)):
        written.append(folder / f"{name}.jpg")
        cv2.imwrite(str(written[-1]), side_by_side(place / "result")[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, POSTER_QUALITY])
    return written


def side_by_side(folder: Path) -> U8:
    """(H, W, 3) uint8 RGB: one frame of tracks, depth and the world beside each other, to show what comes out at a glance.

    Args:
        folder: With the three videos of a result.
    """
    from toolkit.media.video import read_video

    pictures = []
    for name in ("tracks.mp4", "depth.mp4", "tracks_3d.mp4"):
        frames = read_video(folder / name).frames
        image = frames[round(BANNER_MOMENT * (len(frames) - 1))]
        size = (round(image.shape[1] * BANNER_HEIGHT_PX / image.shape[0]), BANNER_HEIGHT_PX)
        pictures.append(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    return np.ascontiguousarray(np.hstack(pictures), np.uint8)


def _found(path: Path, entry: Entry, name: str, tell: Tell) -> Scene:
    """What the method of choice finds in a clip."""
    from toolkit.run import run

    stages: set[str] = set()

    def listen(event: Progress) -> None:
        if event.stage not in stages:
            stages.add(event.stage)
            tell(f"{name}: {event.message}")

    return run(path, entry.method, preset="normal", progress=listen, **entry.settings)


def write_result(scene: Scene, folder: Path, *, seed: int = 0) -> list[Path]:
    """Writes the result files of the gallery: the bundle's own, in fewer bytes, and a manifest that says so.

    Args:
        scene: The result of a method.
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
    from toolkit.views.page import PageSettings, write_page

    encoding, fps = Encoding(crf=30, preset="slow"), scene.video.fps if scene.video is not None else 30.0
    write_video(folder / "tracks.mp4", draw_tracks(scene, seed=seed), fps, encoding=encoding)
    if scene.depth is not None:
        write_video(folder / "depth.mp4", draw_depth(scene), fps, encoding=encoding)
    write_video(folder / "tracks_3d.mp4", draw_tracks_3d(scene, seed=seed), fps, encoding=encoding)
    page = PageSettings(max_tracks=1200, max_cloud=14_000, surface_pixels=6000, picture_px=192, picture_quality=55)
    write_page(scene, folder / "scene.html", seed=seed, settings=page)
    thin = thinned(scene, seed=seed)
    _packed_again(save(thin, folder / "scene.npz", compact=True))
    depth = "" if scene.depth is None else f"depth of every {DEPTH_BLOCK_PX}th pixel to 1 percent; "
    precision = (
        f"thinned for this example to {len(thin.tracks_2d or ())} tracks and {len(thin.points or ())} points; "
        f"{depth}a run of your own gives all of it"
    )
    notes: dict[str, dict[str, Any]] = {
        name: {"opens_with": FORMATS[name].opens_with} for name in RESULT_FILES if (folder / name).is_file() and name in FORMATS
    }
    notes["scene.npz"]["precision"] = precision
    manifest = write_manifest(thin, folder, notes, {}, seed)
    return [*(folder / name for name in notes), manifest]


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
