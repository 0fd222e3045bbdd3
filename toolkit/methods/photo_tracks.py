"""Points followed from photo to photo: correspondences where descriptions of points are weak."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import cv2
import numpy as np

from toolkit.errors import UserError
from toolkit.media.photos import Photo
from toolkit.methods.request import PhotoTracker
from toolkit.progress import Listener, reporter
from toolkit.scene import F32, U8, Tracks2D, Video
from toolkit.tracking.classical import PHOTOS, track_classical
from toolkit.tracking.registry import prepare_tracker
from toolkit.tracking.vggsfm import WEIGHTS
from toolkit.wording import counted


@dataclass(frozen=True)
class FollowOptions:
    """How points are followed through photos.

    Attributes:
        side: Photos are reduced to so many pixels; flow is tuned to less, and the network sees 1024.
        cells: (columns, rows) of the grid that points are spread over.
        points: Corners that are followed from one photo.
        enough: Points that every photo should see; photos with fewer are asked next.
        asked: Photos that the network is asked about at most: each costs as much as the first.
        step: Photos from one asked photo to the next for the classical tracker, which follows all at once.
        most: Photos that are held in memory together at most.
    """

    side: int = 1024
    cells: tuple[int, int] = (24, 16)
    points: int = 800
    enough: int = 300
    asked: int = 4
    step: int = 2
    most: int = 200


FOLLOW = FollowOptions()


def checked_photo_tracker(name: str) -> str:
    """The name of a source of correspondences.

    Raises:
        UserError: there is none of that name.
    """
    if name not in get_args(PhotoTracker):
        raise UserError(f"There is no tracker {name!r} for photos; there are: {', '.join(get_args(PhotoTracker))}.")
    return name


def prepare_photo_tracker(name: str, photos: Sequence[Photo], options: FollowOptions) -> None:
    """Makes sure that a tracker can follow points through these photos, before anything is computed.

    Raises:
        UserError: its weights are missing, or the photos are not of a kind that it follows.
    """
    if name in ("auto", "sift"):
        return
    if len(photos) > options.most:
        raise UserError(f"The tracker {name} follows points through up to {options.most} photos, but there are {len(photos)}.")
    if name == "vggsfm":
        prepare_tracker("vggsfm")
    elif len({p.size for p in photos}) > 1:
        odd = next(p for p in photos if p.size != photos[0].size)
        raise UserError(
            f"The tracker classical follows points through photos of one size, but {odd.name} is {odd.size[0]} x {odd.size[1]} px and "
            f"{photos[0].name} {photos[0].size[0]} x {photos[0].size[1]} px; use tracker='sift'."
        )


def follow(name: str, photos: Sequence[Photo], options: FollowOptions, seed: int, listener: Listener) -> Tracks2D:
    """Tracks through all photos, in pixels of each as it is stored.

    Args:
        name: "classical" for photos in order, or "vggsfm" for any.
        photos: T photos.
        options: How.
        seed: Of the tracker.
        listener: Told the progress, and for the network how long it will take.
    """
    pictures, scale = zip(*[_reduced(photo.read(), options.side) for photo in photos], strict=True)
    if name == "classical":
        queries = [_corners(pictures[t], t, options) for t in range(0, len(pictures), options.step)]
        report = reporter(listener, "tracks", "Following points from photo to photo")
        asked = np.concatenate(queries)
        if len(asked) == 0:
            return _none(len(photos))
        tracks = track_classical(Video.from_frames(np.stack(pictures)), asked, seed=seed, report=report, settings=PHOTOS)
    else:
        tracks = _by_network(pictures, options, listener)
    factor = np.array(scale, np.float32)  # (T, 2)
    sigma = None if tracks.sigma_px is None else tracks.sigma_px * factor.mean(1)
    first = tracks.queries[:, 0].astype(np.int64)
    queries = np.column_stack([tracks.queries[:, 0], tracks.queries[:, 1:] * factor[first]])
    return Tracks2D(tracks.xy * factor, tracks.visible, tracks.confidence, queries.astype(np.float32), sigma)


def _by_network(pictures: Sequence[U8], options: FollowOptions, listener: Listener) -> Tracks2D:
    """Photo after photo is asked about, the one that sees fewest points next, until every photo sees enough."""
    import torch

    from toolkit.models.track_predictor import VGGSFM, TrackPredictor

    network = TrackPredictor.from_pretrained(os.environ.get(WEIGHTS) or VGGSFM.repository)
    network = network.to("cuda" if torch.cuda.is_available() else "cpu")
    done: list[Tracks2D] = []
    sees = np.zeros(len(pictures), np.int64)
    asked: set[int] = set()
    while len(asked) < min(options.asked, len(pictures)) and sees.min() < options.enough:
        starved = sorted(set(range(len(pictures))) - asked, key=lambda t: (sees[t], abs(t - len(pictures) // 2)))
        t = starved[0]
        asked.add(t)
        queries = _corners(pictures[t], t, options)
        if len(queries) == 0:
            continue
        minutes = max(1, round(network.estimate(len(pictures), queries).seconds / 60))
        told = f"Following {counted(len(queries), 'point')} of photo {t + 1} with VGGSfM's tracker; about {minutes} min"
        done.append(network.infer(list(pictures), queries, report=reporter(listener, "tracks", told)))
        sees += done[-1].visible.sum(0)
    if not done:
        return _none(len(pictures))
    return Tracks2D(*(np.concatenate([getattr(d, name) for d in done]) for name in ("xy", "visible", "confidence", "queries")))


def _none(frames: int) -> Tracks2D:
    nothing = np.zeros((0, frames), np.float32)
    return Tracks2D(np.zeros((0, frames, 2), np.float32), nothing > 0, nothing, np.zeros((0, 3), np.float32))


def _reduced(rgb: U8, side: int) -> tuple[U8, tuple[float, float]]:
    """The photo with at most `side` pixels along its longer side, and stored pixels per pixel of it, across and down."""
    height, width = rgb.shape[:2]
    shrink = min(1.0, side / max(width, height))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    small = rgb if shrink == 1 else cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return small, (width / size[0], height / size[1])  # type: ignore[return-value]


def _corners(rgb: U8, t: int, options: FollowOptions) -> F32:
    """(N, 3) (t, x, y) of the strongest corners of each cell of a grid (Shi and Tomasi 1994), so that all of the photo is covered."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    found = cv2.goodFeaturesToTrack(grey, 20 * options.points, 0.001, 4, blockSize=7)
    if found is None:
        return np.empty((0, 3), np.float32)
    xy = np.asarray(found, np.float32).reshape(-1, 2)  # strongest first
    columns, rows = options.cells
    cell = (xy[:, 0] * columns // grey.shape[1] + columns * (xy[:, 1] * rows // grey.shape[0])).astype(np.int64)
    order = np.argsort(cell, kind="stable")
    rank = np.empty(len(xy), np.int64)
    starts = np.flatnonzero(np.r_[True, np.diff(cell[order]) > 0])
    rank[order] = np.arange(len(xy)) - np.repeat(starts, np.diff(np.r_[starts, len(xy)]))
    kept = np.argsort(rank, kind="stable")[: options.points]
    return np.column_stack([np.full(len(kept), t), xy[kept] + 0.5]).astype(np.float32)  # OpenCV counts from the first pixel's centre
