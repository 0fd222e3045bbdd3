"""From features and pairs of photos to a first model: COLMAP's incremental mapper, its global one, or known poses."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolkit.errors import UserError
from toolkit.progress import Report, silent
from toolkit.scene import F64
from toolkit.sfm.colmap import load_pycolmap, rigid
from toolkit.sfm.features import Features
from toolkit.sfm.two_view import TwoView, TwoViewOptions, geometry, stirred

if TYPE_CHECKING:
    import pycolmap


ENOUGH_CHECKED = 150
"""Points of a photo that three photos see, from which on those that two see are not needed."""


@dataclass(frozen=True, eq=False)
class Correspondences:
    """What the mappers work on.

    Attributes:
        names: (T,) file name of each photo.
        cameras: One COLMAP camera a photo; photos that share one share its `camera_id`.
        features: Features of each photo.
        pairs: By (i, j), i < j: what two photos have in common.
        keys: Photos that the first model is made of, those between being placed by its points; None for all.
    """

    names: Sequence[str]
    cameras: Sequence[pycolmap.Camera]
    features: Sequence[Features]
    pairs: Mapping[tuple[int, int], TwoView]
    keys: frozenset[int] | None = None

    @property
    def key_pairs(self) -> Mapping[tuple[int, int], TwoView]:
        """Pairs of photos that the first model is made of: those that tell what the recording is like."""
        if self.keys is None:
            return self.pairs
        return {(i, j): pair for (i, j), pair in self.pairs.items() if i in self.keys and j in self.keys}


@dataclass(frozen=True)
class MappingOptions:
    """How a model is built.

    Attributes:
        fixed_lens: Whether the cameras' parameters are known and stay.
        fewest_photos: Smaller models are no models; two photos are one pair.
        threads: One, as the sums of several threads differ in their last bits from run to run.
        wide_deg: Smallest angle between the rays of the first pair; COLMAP's, halved until a pair is found.
        first_points: Points that the first pair must share; COLMAP's.
        forward: Largest part of the first pair's motion along the line of sight; COLMAP's.
        growth: How much a model grows between adjustments of all of it; COLMAP's.
        pose_px: Largest error of a point that speaks for a photo's pose; COLMAP's.
        narrowest_deg: Points whose rays meet under a smaller angle are left out; COLMAP's.
        two_suffice: Whether points that only two photos see are taken; COLMAP leaves them out, and so makes no model of two photos alone.
    """

    fixed_lens: bool = False
    fewest_photos: int = 2
    threads: int = 1
    wide_deg: float = 16.0
    first_points: int = 100
    forward: float = 0.95
    growth: float = 1.1
    pose_px: float = 12.0
    narrowest_deg: float = 1.5
    two_suffice: bool = False


@contextmanager
def database(
    found: Correspondences, options: TwoViewOptions, seed: int, report: Report = silent, *, trusted: bool = False
) -> Iterator[Path]:
    """A COLMAP database of all that was found, in a temporary folder; photo t has the image number t + 1.

    Args:
        found: Features and pairs.
        options: What counts as agreeing.
        seed: Of the random samples.
        report: Called per pair.
        trusted: Whether pairs are taken as they are, rather than given a relative pose each: mappers find that of the first pair
            themselves and need no other.
    """
    colmap = load_pycolmap()
    folder = Path(tempfile.mkdtemp(prefix="lift4d-"))
    try:
        with colmap.Database.open(folder / "database.db") as db:
            written = set()
            for t, (name, camera, features) in enumerate(zip(found.names, found.cameras, found.features, strict=True)):
                rig_id = camera.camera_id
                if camera.camera_id not in written:
                    written.add(camera.camera_id)
                    db.write_camera(camera, use_camera_id=True)
                    rig = colmap.Rig(rig_id=rig_id)
                    rig.add_ref_sensor(camera.sensor_id)
                    db.write_rig(rig, use_rig_id=True)
                image = colmap.Image(name=name, keypoints=np.empty((0, 2)), camera_id=camera.camera_id, image_id=t + 1)
                frame = colmap.Frame(frame_id=t + 1, rig_id=rig_id)
                frame.add_data_id(image.data_id)
                db.write_image(image, use_image_id=True)
                db.write_frame(frame, use_frame_id=True)
                places = features.xy if trusted else stirred(features.xy, camera, t)
                db.write_keypoints(t + 1, places.astype(np.float32))
            for n, ((i, j), pair) in enumerate(sorted(found.pairs.items())):
                report(n, len(found.pairs))
                db.write_matches(i + 1, j + 1, pair.pairs)
                if trusted:
                    record = colmap.TwoViewGeometry()
                    record.config = colmap.TwoViewGeometryConfiguration.CALIBRATED.value
                    record.inlier_matches = pair.pairs
                elif pair.record is not None:
                    record = pair.record
                else:
                    both = (found.cameras[i], found.cameras[j])
                    record = geometry(found.features[i].xy, found.features[j].xy, pair.pairs, both, options, seed)
                db.write_two_view_geometry(i + 1, j + 1, record)
            report(len(found.pairs), len(found.pairs))
        yield folder / "database.db"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def incremental(db: Path, options: MappingOptions, seed: int, report: Report = silent, photos: int = 0) -> list[pycolmap.Reconstruction]:
    """Models by COLMAP's incremental mapper, the largest first; several where photos fall into scenes.

    Args:
        db: The database.
        options: How the models are built.
        seed: Of the random samples.
        report: Called per photo that is taken in.
        photos: How many there are.
    """
    colmap = load_pycolmap()
    asked = colmap.IncrementalPipelineOptions()
    asked.min_model_size = options.fewest_photos
    asked.random_seed = asked.mapper.random_seed = asked.triangulation.random_seed = seed
    asked.num_threads = asked.mapper.num_threads = options.threads
    asked.extract_colors = False
    asked.mapper.init_min_tri_angle = options.wide_deg
    asked.mapper.init_min_num_inliers = options.first_points
    asked.mapper.init_max_forward_motion = options.forward
    asked.mapper.abs_pose_max_error = options.pose_px
    asked.mapper.filter_min_tri_angle = asked.triangulation.min_angle = options.narrowest_deg
    asked.triangulation.ignore_two_view_tracks = not options.two_suffice
    asked.ba_global_frames_ratio = asked.ba_global_points_ratio = options.growth
    if options.fixed_lens:
        asked.ba_refine_focal_length = asked.ba_refine_extra_params = False
        asked.mapper.abs_pose_refine_focal_length = asked.mapper.abs_pose_refine_extra_params = False
    token = colmap.CancellationToken()
    stopped: list[BaseException] = []
    taken = 0

    def tell() -> None:
        nonlocal taken
        taken += 1
        try:
            report(min(taken, photos), photos)
        except BaseException as problem:  # told to COLMAP in its own way, and raised again below
            stopped.append(problem)
            token.cancel()

    out = db.parent / "incremental"
    out.mkdir(exist_ok=True)
    models = colmap.incremental_mapping(db, db.parent, out, asked, next_image_callback=tell, cancellation_token=token)
    if stopped:
        raise stopped[0]
    return _by_size(models)


def all_at_once(db: Path, options: MappingOptions, seed: int) -> list[pycolmap.Reconstruction]:
    """Models by COLMAP's global mapper (GLOMAP, Pan 2024), the largest first."""
    colmap = load_pycolmap()
    copy = db.with_name("global.db")  # the mapper writes into its database
    shutil.copy(db, copy)
    if not options.fixed_lens:
        colmap.calibrate_view_graph(copy)
    asked = colmap.GlobalPipelineOptions()
    asked.random_seed = asked.mapper.random_seed = seed
    asked.mapper.rotation_averaging.random_seed = asked.mapper.global_positioning.random_seed = seed
    asked.mapper.retriangulation.random_seed = seed
    asked.num_threads = asked.mapper.num_threads = options.threads
    asked.min_model_size = max(3, options.fewest_photos)
    asked.mapper.global_positioning.use_gpu = asked.mapper.bundle_adjustment.ceres.use_gpu = False
    if options.fixed_lens:
        asked.mapper.bundle_adjustment.refine_focal_length = asked.mapper.bundle_adjustment.refine_extra_params = False
    out = db.parent / "global"
    out.mkdir(exist_ok=True)
    return _by_size(colmap.global_mapping(copy, db.parent, out, asked))


def triangulate(db: Path, found: Correspondences, T_cw: F64, seed: int) -> pycolmap.Reconstruction:
    """Points from known poses; neither poses nor lenses change.

    Args:
        db: The database.
        found: What it was made of.
        T_cw: (T, 4, 4) camera-from-world; photos with NaN are left out.
        seed: Of the random samples.
    """
    colmap = load_pycolmap()
    known = np.flatnonzero(np.isfinite(T_cw).all((1, 2)))
    if len(known) < 2:
        raise UserError(f"{len(known)} of the photos have a known pose, but two are needed to triangulate points.")
    model = colmap.Reconstruction()
    for camera in {c.camera_id: c for c in found.cameras}.values():
        model.add_camera_with_trivial_rig(camera)
    for t in known.tolist():
        camera = found.cameras[t]
        image = colmap.Image(name=found.names[t], keypoints=found.features[t].xy.astype(float), camera_id=camera.camera_id, image_id=t + 1)
        model.add_image_with_trivial_frame(image, rigid(T_cw[t]))
    asked = colmap.IncrementalPipelineOptions()
    asked.num_threads = asked.mapper.num_threads = 1
    asked.random_seed = asked.triangulation.random_seed = seed
    asked.extract_colors = False
    asked.triangulation.ignore_two_view_tracks = False
    out = db.parent / "triangulated"
    out.mkdir(exist_ok=True)
    model = colmap.triangulate_points(model, db, db.parent, out, options=asked)
    _drop_unchecked(model)
    return model


def _drop_unchecked(model: pycolmap.Reconstruction) -> None:
    """Drops points that only two photos see: a wrong match along the epipolar line goes unnoticed there. Photos that see little else keep
    theirs, and so do two photos alone.
    """
    if model.num_reg_images() < 3:
        return
    pairs = {n: [e.image_id for e in p.track.elements] for n, p in model.points3D.items() if p.track.length() < 3}
    checked = {i: model.image(i).num_points3D for i in model.reg_image_ids()}
    for seen_by in pairs.values():
        for image in seen_by:
            checked[image] -= 1
    for number, seen_by in sorted(pairs.items()):
        if min(checked[image] for image in seen_by) >= ENOUGH_CHECKED:
            model.delete_point3D(number)


def _by_size(models: Mapping[int, pycolmap.Reconstruction]) -> list[pycolmap.Reconstruction]:
    return sorted(models.values(), key=lambda m: (-m.num_reg_images(), -m.num_points3D()))


LOCK = threading.Lock()
"""COLMAP draws its random numbers from one generator a thread, so what must come out alike runs alone."""
