"""A model grown along a video: from a pair with parallax outwards, neighbour by neighbour, the last frames adjusted at every step.

A mapper of photos takes next whoever sees most of the model. In a video that may be a frame far ahead that sees far things only, which tell
its direction but not its place; neighbours see near things too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.progress import Report, silent
from toolkit.sfm.colmap import load_pycolmap

if TYPE_CHECKING:
    import pycolmap

_ANY = -1  # COLMAP's number of no image


@dataclass(frozen=True)
class GrowthOptions:
    """How a model grows.

    Attributes:
        fixed_lens: Whether the lens is known and stays.
        first_points: Points that the first pair must share.
        widths_deg: Angles between the rays of the first pair that are asked for, one after the other.
        forward: Largest part of the first pair's motion along the line of sight, for each of these.
        pose_px: Largest error of a point that speaks for a frame's pose.
        fewest: Points that must speak for it.
        near_px: Farthest that an observation may be from its point. Photos are allowed twice as much; here that would let things in that
            move slowly.
        narrowest_deg: Points whose rays meet under a smaller angle are left out.
        window: Frames that are adjusted together at every step.
        window_deg: Angle between the rays of frames in that window, at least.
        growth: How much a model grows between adjustments of all of it.
        gap: Frames that may fail one after the other before the model ends there.
        fewest_frames: Shorter models are none.
        starts: Places in a shot, in shares of its length, from which a first pair is looked for besides the one with most points.
        compared_up_to: Shots of so many frames are grown from all these pairs, and the model that fits best is taken: a pair may have
            been of a thing that moves, or have taken a turn for a step aside.
        enough: Share of the most observations of any of these that the best must have.
    """

    fixed_lens: bool = False
    first_points: int = 60
    widths_deg: tuple[float, ...] = (16.0, 8.0, 4.0, 2.0, 1.0, 0.5)
    forward: tuple[float, ...] = (0.95, 0.95, 1.0, 1.0, 1.0, 1.0)
    pose_px: float = 4.0
    fewest: int = 20
    near_px: float = 2.0
    narrowest_deg: float = 1.0
    window: int = 8
    window_deg: float = 2.0
    growth: float = 1.4
    gap: int = 4
    fewest_frames: int = 3
    starts: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    compared_up_to: int = 60
    enough: float = 0.4


def grow(
    db: Path, frames: list[int], shots: list[range], options: GrowthOptions, seed: int, report: Report = silent
) -> tuple[pycolmap.Reconstruction | None, list[list[int]]]:
    """The largest of the models of a video's shots, and the places of the frames of the others.

    Args:
        db: Database of the frames; their image numbers are their places plus one.
        frames: The place in the video of each.
        shots: Places of the frames between cuts.
        options: How models grow.
        seed: Of the random samples.
        report: Called per frame that is taken in.
    """
    colmap = load_pycolmap()
    total = sum(len(shot) for shot in shots)
    found: list[pycolmap.Reconstruction] = []
    done = 0
    with colmap.Database.open(db) as opened:
        for shot in sorted(shots, key=lambda s: (-len(s), s.start)):
            rest = shot
            while len(rest) >= options.fewest_frames:
                asked = colmap.DatabaseCacheOptions()
                asked.min_num_matches = 15
                asked.image_names = {opened.read_image(k + 1).name for k in rest}
                cache = colmap.DatabaseCache.create(opened, asked)
                base = done
                model = _best(cache, rest, options, seed, lambda n, base=base: report(base + n, total))
                if model is None:
                    break
                found.append(model)
                done += model.num_reg_images()
                placed = {i - 1 for i in model.reg_image_ids()}
                if len(placed) < options.fewest_frames:
                    break
                # What lies beyond the place where a model ended may make one of its own.
                before, after = range(rest.start, min(placed)), range(max(placed) + 1, rest.stop)
                rest = before if len(before) > len(after) else after
    found.sort(key=lambda m: (-_reach(m, frames), -m.num_points3D()))
    if not found:
        return None, []
    return found[0], [sorted(i - 1 for i in m.reg_image_ids()) for m in found[1:]]


def _best(cache: Any, places: range, options: GrowthOptions, seed: int, tell: Any) -> pycolmap.Reconstruction | None:
    """The model that fits best of those grown from several pairs; the first one of a long shot."""
    models, tried = [], set()
    for first, each in _beginnings(places, options):
        model = _Growth(cache, places, each, seed, tell, first, tried).model()
        if model is None:
            continue
        if len(places) > options.compared_up_to:
            return model
        model.update_point_3d_errors()
        models.append(model)
    if not models:
        return None
    most = max(m.compute_num_observations() for m in models)
    rich = [m for m in models if m.compute_num_observations() >= options.enough * most]
    return min(rich, key=lambda m: m.compute_mean_reprojection_error())


def _beginnings(places: range, options: GrowthOptions) -> Iterator[tuple[int, GrowthOptions]]:
    """Where to look for a first pair: around any frame at one angle after the other, then around chosen frames at any angle."""
    for wide, forward in zip(options.widths_deg, options.forward, strict=True):
        yield _ANY, replace(options, widths_deg=(wide,), forward=(forward,))
    for share in options.starts:
        yield places[round(share * (len(places) - 1))] + 1, options


def _reach(model: pycolmap.Reconstruction, frames: list[int]) -> int:
    """Frames of the video between the first and the last one of a model."""
    placed = [frames[i - 1] for i in model.reg_image_ids()]
    return max(placed) - min(placed)


class _Growth:
    """One model of one shot."""

    def __init__(
        self, cache: Any, places: range, options: GrowthOptions, seed: int, tell: Any, first: int, tried: set[tuple[int, int]]
    ) -> None:
        colmap = load_pycolmap()
        self._first, self._tried = first, tried  # where the first pair is looked for, and the pairs that need not be tried again
        self._options, self._places, self._tell = options, places, tell
        asked = colmap.IncrementalPipelineOptions()
        asked.num_threads = asked.mapper.num_threads = 1
        asked.random_seed = asked.mapper.random_seed = asked.triangulation.random_seed = seed
        asked.mapper.init_min_num_inliers = options.first_points
        asked.mapper.abs_pose_max_error = options.pose_px
        asked.mapper.abs_pose_min_num_inliers = options.fewest
        asked.mapper.filter_min_tri_angle = asked.triangulation.min_angle = options.narrowest_deg
        asked.mapper.filter_max_reproj_error = asked.mapper.init_max_error = options.near_px
        asked.triangulation.merge_max_reproj_error = asked.triangulation.complete_max_reproj_error = options.near_px
        asked.mapper.ba_local_num_images = options.window
        asked.mapper.ba_local_min_tri_angle = options.window_deg
        if options.fixed_lens:
            asked.ba_refine_focal_length = asked.ba_refine_extra_params = False
            asked.mapper.abs_pose_refine_focal_length = asked.mapper.abs_pose_refine_extra_params = False
        self._asked, self._mapping, self._triangulation = asked, asked.get_mapper(), asked.get_triangulation()
        self._mapper = colmap.IncrementalMapper(cache)
        self._model = colmap.Reconstruction()
        self._mapper.begin_reconstruction(self._model)
        self._adjusted = 0

    def _restart(self) -> None:
        """Forgets the model; the mapper counts matches of each frame and would count those of frames taken out of it twice."""
        self._mapper.end_reconstruction(True)
        self._model = load_pycolmap().Reconstruction()
        self._mapper.begin_reconstruction(self._model)

    def model(self) -> pycolmap.Reconstruction | None:
        """The model; None where no pair has parallax that was not tried before."""
        if not self._begin():
            self._mapper.end_reconstruction(True)
            return None
        low, high = min(self._model.reg_image_ids()), max(self._model.reg_image_ids())
        for image in range(low + 1, high):
            self._take(image)
        up, down = _Side(high, 1, self._places.stop), _Side(low, -1, self._places.start + 1)
        while up.open or down.open:
            for side in (up, down):
                if side.open:
                    self._step(side)
        for image in range(self._places.start + 1, self._places.stop + 1):
            if not self._registered(image):
                self._take(image)
        self._adjust_all()
        self._mapper.end_reconstruction(False)
        return self._model

    def _begin(self) -> bool:
        for wide, forward in zip(self._options.widths_deg, self._options.forward, strict=True):
            self._mapping.init_min_tri_angle, self._mapping.init_max_forward_motion = wide, forward
            self._mapper.reset_initialization_stats()
            found = self._mapper.find_initial_image_pair(self._mapping, self._first, _ANY)
            if found is None:
                continue
            (first, second), pose = found
            pair = (min(first, second), max(first, second))
            if pair in self._tried:
                continue
            self._tried.add(pair)
            self._mapper.register_initial_image_pair(self._mapping, first, second, pose)
            for image in (first, second):
                self._mapper.triangulate_image(self._triangulation, image)
            self._adjust_all()
            if self._model.num_reg_images() == 2 and self._model.num_points3D() >= self._options.fewest:
                return True
            self._restart()
        return False

    def _registered(self, image: int) -> bool:
        return self._model.exists_image(image) and self._model.image(image).has_pose

    def _step(self, side: _Side) -> None:
        side.at += side.way
        if side.at == side.end + side.way or not self._places.start < side.at <= self._places.stop:
            side.open = False
        elif self._take(side.at):
            side.failed = 0
        else:
            side.failed += 1
            side.open = side.failed < self._options.gap

    def _take(self, image: int) -> bool:
        if self._registered(image):
            return True
        if not self._model.exists_image(image):  # nothing in this frame was found in another one
            return False
        if not self._mapper.register_next_image(self._mapping, image):
            return False
        self._mapper.triangulate_image(self._triangulation, image)
        self._mapper.iterative_local_refinement(
            1, 0.001, self._mapping, self._asked.get_local_bundle_adjustment(), self._triangulation, image
        )
        count = self._model.num_reg_images()
        self._tell(count)
        if count >= self._options.growth * self._adjusted:
            self._adjust_all()
        return self._registered(image)

    def _adjust_all(self) -> None:
        self._adjusted = max(2, self._model.num_reg_images())
        self._mapper.iterative_global_refinement(2, 0.001, self._mapping, self._asked.get_global_bundle_adjustment(), self._triangulation)


@dataclass
class _Side:
    """One end of a model.

    Attributes:
        at: Image number of the last frame that was tried.
        way: Whether it grows to later frames (1) or earlier ones (-1).
        end: Image number beyond which there is none.
        open: Whether it still grows.
        failed: Frames that failed one after the other.
    """

    at: int
    way: int
    end: int
    open: bool = True
    failed: int = 0
