"""Pictures of a clip before it is run: the frame a result would show, and both eyes beside each other."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from toolkit.errors import UserError
from toolkit.media.archive import unpacked
from toolkit.media.decoding import Clip
from toolkit.media.frame_choice import FrameChoice
from toolkit.media.opening import open_stereo
from toolkit.media.recording import find_recording
from toolkit.media.sequences import read_image
from toolkit.media.tracks_input import load_tracks_input
from toolkit.methods.request import Request
from toolkit.methods.stereo4d import Stereo4DSettings
from toolkit.methods.stereo_intake import rig_of, view_of
from toolkit.scene import U8, Source
from toolkit.stereo import PairCheck, Rectifier, vertical_disparity

_KEPT = 4
_LINE = (250, 204, 21)
_LARGEST_SIDE = 1024
_NOTHING = 24  # grey behind points without a picture


class Eyes:
    """A two-eyed recording, rectified one frame at a time as a run would do it."""

    def __init__(self, source: Source, options: dict[str, Any]) -> None:
        """Finds the rig.

        Args:
            source: What `inspect` found.
            options: Settings of the stereo method that change the view: layout, projection, fov_deg, baseline_m, ...

        Raises:
            UserError: the recording has no two eyes, or an option does not fit it.
        """
        self.source = source
        self.settings = replace(Stereo4DSettings(), **options)
        first = self._raw(0)
        rig, _ = rig_of(self._opened, Request(Path(source.path), source, self.settings), first)
        self._rectify = Rectifier(rig, **view_of(self.settings, rig))
        pair = self._rectify(first)
        self.check: PairCheck = vertical_disparity(*pair)
        if self.check.swapped and self.settings.swap_eyes is None:
            rig = rig.with_swapped_eyes()
            self._rectify = Rectifier(rig, **view_of(self.settings, rig))
            pair = self._rectify(first)
        self.first: tuple[U8, U8] = pair

    def pair(self, frame: int) -> tuple[U8, U8]:
        """The rectified eyes of a frame."""
        return self.first if frame == 0 else self._rectify(self._raw(frame))

    def _raw(self, frame: int) -> Any:
        s = self.settings
        with open_stereo(
            self.source.path,
            source=self.source,
            layout=s.layout,
            projection=s.projection,
            fov_bounds_deg=s.fov_bounds_deg,
            baseline_m=s.baseline_m,
            swap=s.swap_eyes,
            frames=[frame],
        ) as opened:
            self._opened = opened
            return next(opened.frames())[1]


class Looks:
    """The recordings that were looked at last: a slider that moves should not find the rig anew each time."""

    def __init__(self) -> None:
        self._eyes: OrderedDict[str, Eyes] = OrderedDict()

    def eyes(self, source: Source, options: dict[str, Any]) -> Eyes:
        """The eyes of a recording for these options."""
        key = repr((source.path, _stamp(Path(source.path)), sorted(options.items())))
        if key not in self._eyes:
            self._eyes[key] = Eyes(source, options)
            while len(self._eyes) > _KEPT:
                self._eyes.popitem(last=False)
        self._eyes.move_to_end(key)
        return self._eyes[key]


def _stamp(path: Path) -> tuple[tuple[int, int, int], ...]:
    """What tells a recording from another one that lay, or will lie, under the same name."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return tuple((s.st_ino, s.st_size, s.st_mtime_ns) for s in (file.stat() for file in files))


def plain_frame(source: Source, frame: int) -> U8:
    """A frame of a recording as it is, of the first view where there are several."""
    if Path(source.path).suffix.lower() == ".zip":
        with unpacked(source.path) as inside:
            return plain_frame(replace(source, path=str(inside)), frame)
    recording = find_recording(source.path)
    if recording.form == "tracks":
        return _tracks_frame(recording.files[0], frame)
    if recording.form in ("dataset", "bundle"):
        recording = find_recording(next(iter(_videos_beside(recording.files[0]))))
    if recording.sequences:
        pictures = recording.sequences[0].paths
        return read_image(pictures[min(frame, len(pictures) - 1)])
    with Clip(recording.files[0]) as clip:
        for _, image in clip.choose(FrameChoice.of([frame])):
            return image
    raise UserError(f"There is no frame {frame} in the clip.")


def _tracks_frame(path: Path, frame: int) -> U8:
    """Where the points of a file of tracks are in a frame, on its picture if it holds one."""
    found = load_tracks_input(path)
    frame = min(frame, found.tracks.xy.shape[1] - 1)
    width, height = found.size
    shrink = min(1.0, _LARGEST_SIDE / max(width, height))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    canvas = np.full((size[1], size[0], 3), _NOTHING, np.uint8)
    if found.pictures is not None:
        canvas = cv2.resize(found.pictures[frame], size, interpolation=cv2.INTER_AREA)
    seen = found.tracks.visible[:, frame] & np.isfinite(found.tracks.xy[:, frame]).all(1)
    places = np.array(size) / found.size * found.tracks.xy[seen, frame]
    for x, y in np.clip(places, -9, 2 * _LARGEST_SIDE):
        cv2.circle(canvas, (int(x), int(y)), 2, _LINE, -1, cv2.LINE_AA)
    return canvas


def _videos_beside(annotation: Path) -> list[Path]:
    from toolkit.media.recording import raw_video

    found = raw_video(annotation, None)
    if found is None:
        raise UserError(f"No video lies beside {annotation.name}.")
    return [found]


def side_by_side(left: U8, right: U8, *, lines: int = 7) -> U8:
    """Both eyes with a few level lines across: in a rectified pair, each line meets the same things in both."""
    gap = np.full((left.shape[0], 4, 3), 255, np.uint8)
    both = np.ascontiguousarray(np.concatenate([left, gap, right], axis=1))
    for y in np.linspace(0, both.shape[0], lines + 2)[1:-1].astype(int):
        cv2.line(both, (0, int(y)), (both.shape[1], int(y)), _LINE, 1, cv2.LINE_AA)
    return both


def write_picture(image: U8, path: Path, *, largest_side: int = _LARGEST_SIDE) -> Path:
    """Writes a JPEG that a page shows; pictures larger than a screen are reduced."""
    height, width = image.shape[:2]
    shrink = largest_side / max(height, width)
    if shrink < 1:
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
    return path
