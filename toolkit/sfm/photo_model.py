"""From what photos have in common to a model whose every frame was checked: map, place who is missing, look again, refine, audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from toolkit.errors import UserError
from toolkit.progress import Report, silent
from toolkit.scene import F64
from toolkit.sfm.audit import AuditOptions, Check, audit
from toolkit.sfm.depth_evidence import DepthEvidence, evidence_of_photos, why_flat
from toolkit.sfm.mapping import LOCK, Correspondences, MappingOptions, all_at_once, database, incremental, triangulate
from toolkit.sfm.matching import MatchOptions
from toolkit.sfm.parallax import ParallaxOptions
from toolkit.sfm.photo_adjust import BundleOptions
from toolkit.sfm.photo_bundle import Sureness, refine
from toolkit.sfm.photo_growth import looked_again, placed, refined_cameras
from toolkit.sfm.registration import CONTRADICTED, Placed, RegistrationOptions, agreement, poses
from toolkit.sfm.track_table import observation_sigmas
from toolkit.sfm.two_view import TwoViewOptions
from toolkit.wording import counted

if TYPE_CHECKING:
    import pycolmap


@dataclass(frozen=True)
class ModelOptions:
    """How a model is made from correspondences; each part has its own.

    Attributes:
        mapping: The first model.
        registration: Photos that it leaves out.
        matching: The second look along epipolar lines.
        geometry: What counts as a pair.
        bundle: The refinement.
        audit: The check of each photo.
        parallax: When a model holds depth.
        few_matches: Pairs with fewer matches get the second look.
        rounds: Of placing the missing ones, looking again and refining.
    """

    mapping: MappingOptions = field(default_factory=MappingOptions)
    registration: RegistrationOptions = field(default_factory=RegistrationOptions)
    matching: MatchOptions = field(default_factory=MatchOptions)
    geometry: TwoViewOptions = field(default_factory=TwoViewOptions)
    bundle: BundleOptions = field(default_factory=BundleOptions)
    audit: AuditOptions = field(default_factory=AuditOptions)
    parallax: ParallaxOptions = field(default_factory=ParallaxOptions)
    few_matches: int = 150
    rounds: int = 3


@dataclass(frozen=True, eq=False)
class PhotoModel:
    """A model and what is to be said about it.

    Attributes:
        model: COLMAP's; image numbers are photos plus one.
        found: What it was made of, the second look included.
        sureness: Standard deviations of the poses.
        checks: Of each photo.
        mapper: "incremental", "global" or "known poses".
        others: Photos of further models that share nothing with this one.
        fixed_lens: Whether the lens was known.
    """

    model: pycolmap.Reconstruction
    found: Correspondences
    sureness: Sureness
    checks: list[Check]
    mapper: str
    others: list[list[int]]
    fixed_lens: bool = False


def build(
    found: Correspondences,
    options: ModelOptions,
    *,
    known_T_cw: F64 | None = None,
    start: PhotoModel | None = None,
    seed: int = 0,
    report: Report = silent,
) -> PhotoModel:
    """The model of a set of photos.

    Args:
        found: Features and pairs.
        options: How it is made.
        known_T_cw: (T, 4, 4) known poses, which stay as they are; None to find them.
        start: A model of the same photos that is grown with further correspondences; None to begin with the mapper.
        seed: Of the random samples.
        report: Called per photo and step.

    Raises:
        UserError: the photos don't make a model, and why.
    """
    total = 2 * len(found.names) + 10
    sigmas = observation_sigmas(found.features)
    with LOCK:
        if start is not None:
            model, others, mapper = start.model, start.others, start.mapper
        elif known_T_cw is None:
            model, others, mapper = _map(found, options, seed, lambda n, _: report(min(n, len(found.names)), total))
        else:
            _refuse_poses(found, known_T_cw)
            with database(found, options.geometry, seed, trusted=True) as db:
                model, others, mapper = triangulate(db, found, known_T_cw, seed), [], "known poses"
        done = len(found.names)
        told: dict[int, Placed] = {}
        sureness, cut_out = None, False
        for turn in range(options.rounds if known_T_cw is None else 1):
            report(done + turn, total)
            T_cw = poses(model, len(found.names))
            if known_T_cw is None:
                T_cw = _supported_poses(model, T_cw, options)
            before = int(np.isfinite(T_cw[:, 0, 0]).sum())
            if known_T_cw is None:
                T_cw = placed(model, found, T_cw, options.registration, seed, told, lambda: report(done + turn, total))  # noqa: B023
            grown = int(np.isfinite(T_cw[:, 0, 0]).sum()) > before
            if turn and not grown and not cut_out:
                break
            if start is None or grown:  # a model that is grown had its second look
                found = looked_again(found, model, T_cw, options.few_matches, options.matching, lambda: report(done + turn, total))  # noqa: B023
            found = replace(found, cameras=refined_cameras(model, found))
            with database(found, options.geometry, seed, trusted=True) as db:
                model = triangulate(db, found, T_cw, seed)
            sureness = refine(model, options.bundle, sigmas)
            # With another centre its pictures show points anew that were taken for outliers.
            cut_out = _cut_out(model, found.cameras, options.bundle)
        if sureness is None:
            sureness = refine(model, options.bundle, sigmas)
        checks = audit(model, found, sureness, told, others, options.audit)
        out = [t for t, check in enumerate(checks) if check.dropped]
        if out:
            for t in out:
                model.deregister_frame(model.image(t + 1).frame_id)
            if model.num_reg_images() >= 2:
                sureness = refine(model, options.bundle, sigmas)
        report(total, total)
    if model.num_reg_images() < 2 or model.num_points3D() < options.audit.fewest:
        raise UserError(_why_nothing(found, options))
    if known_T_cw is None:
        shown = _evidence(found, model, options, seed)
        if shown is None or shown.share < options.parallax.share:
            raise UserError(_why_nothing(found, options) if shown is None else why_flat(shown, "photos", "between photos"))
        if shown.flat and model.num_reg_images() - len(shown.flat) >= 2:
            with LOCK:
                for t in shown.flat:
                    model.deregister_frame(model.image(t + 1).frame_id)
                    checks[t] = replace(checks[t], reason="nothing it shows has a depth: the camera only turned there", dropped=True)
                sureness = refine(model, options.bundle, sigmas)
    return PhotoModel(model, found, sureness, checks, mapper, others, options.mapping.fixed_lens)


def _cut_out(model: pycolmap.Reconstruction, before: Sequence[pycolmap.Camera], options: BundleOptions) -> bool:
    """Whether a camera whose pictures are cut out of larger ones was found to be another than before."""
    for camera in {c.camera_id: c for c in before}.values():
        if model.exists_camera(camera.camera_id):
            now = model.camera(camera.camera_id)
            x, y = now.principal_point_x, now.principal_point_y
            off = max(abs(x - now.width / 2), abs(y - now.height / 2))
            moved = max(abs(x - camera.principal_point_x), abs(y - camera.principal_point_y)) / now.width
            zoomed = abs(now.mean_focal_length() / camera.mean_focal_length() - 1)
            if off > options.centre_off * now.width and max(moved, zoomed) > options.settled:
                return True
    return False


def _refuse_poses(found: Correspondences, T_cw: F64) -> None:
    """Refuses known poses that contradict what the photos show, all of them: they follow another convention.

    Raises:
        UserError: they do.
    """
    share = agreement(found, T_cw)
    if np.isfinite(share).any() and np.nanmax(share) < CONTRADICTED:
        raise UserError(
            f"The given cameras contradict the photos: at most {100 * np.nanmax(share):.0f} % of what a photo shares with others fits; "
            "T_wc takes camera to world, x to the right, y down and z forward, in the order of the photos."
        )


def _evidence(found: Correspondences, model: pycolmap.Reconstruction, options: ModelOptions, seed: int) -> DepthEvidence | None:
    """What the matches say about depth."""
    T_cw, fixed = poses(model, len(found.names)), options.mapping.fixed_lens
    return evidence_of_photos(found, refined_cameras(model, found), T_cw, options.parallax, fixed_lens=fixed, seed=seed)


def _map(found: Correspondences, options: ModelOptions, seed: int, report: Report) -> tuple[pycolmap.Reconstruction, list[list[int]], str]:
    """The first model, by the incremental mapper; by the global one where that leaves many out."""
    count = len(found.names)
    found = replace(found, pairs=found.key_pairs)
    linked = _linked(found)
    # Two photos of one plane by an unknown lens leave open how it lies.
    mapping = replace(options.mapping, two_suffice=len(linked) < 3 and (options.mapping.fixed_lens or not _mostly_flat(found)))
    with database(found, options.geometry, seed, report) as db:
        wide = mapping.wide_deg
        models = incremental(db, mapping, seed, report, count)
        while not models and wide > 4:
            wide /= 2
            models = incremental(db, replace(mapping, wide_deg=wide), seed, report, count)
        mapper = "incremental"
        if len(linked) >= 3 and not (not models and _mostly_flat(found)) and (not models or models[0].num_reg_images() < 0.7 * len(linked)):
            other = all_at_once(db, options.mapping, seed)
            if other and _supported(other[0], options) > (_supported(models[0], options) if models else 0):
                models, mapper = other, "global"
    if not models:
        raise UserError(_why_nothing(found, options))
    largest = {i - 1 for i in models[0].reg_image_ids()}
    others = [sorted({i - 1 for i in m.reg_image_ids()} - largest) for m in models[1:]]
    return models[0], [group for group in others if len(group) > 1], mapper


def _supported_poses(model: pycolmap.Reconstruction, T_cw: F64, options: ModelOptions) -> F64:
    """The poses without those of photos that see next to nothing of the model: where a mapper put them is a guess. They are placed anew."""
    T_cw = T_cw.copy()
    guessed = [i - 1 for i in model.reg_image_ids() if model.image(i).num_points3D < options.audit.fewest]
    if model.num_reg_images() - len(guessed) >= 2:
        T_cw[guessed] = np.nan
    return T_cw


def _supported(model: pycolmap.Reconstruction, options: ModelOptions) -> int:
    """Photos of a model that see enough of its points: a mapper may place one that sees none."""
    return sum(model.image(i).num_points3D >= options.audit.fewest for i in model.reg_image_ids())


def _linked(found: Correspondences) -> set[int]:
    """The largest set of photos that pairs connect."""
    group = list(range(len(found.names)))
    for i, j in found.pairs:
        a, b = group[i], group[j]
        group = [a if g == b else g for g in group]
    largest = max(set(group), key=lambda g: (group.count(g), -g))
    return {t for t, g in enumerate(group) if g == largest}


def _mostly_flat(found: Correspondences) -> bool:
    """Whether a plane or a mere turn explains most pairs."""
    return sum(pair.kind != "full" for pair in found.key_pairs.values()) > 0.6 * len(found.key_pairs)


def _why_nothing(found: Correspondences, options: ModelOptions) -> str:
    """One sentence on why there is no model."""
    if not found.pairs:
        fewest = min(range(len(found.names)), key=lambda t: len(found.features[t]))
        if len(found.features[fewest]) < 50:
            return (
                f"No two of the {len(found.names)} photos show the same: {found.names[fewest]} has only {len(found.features[fewest])} "
                "points to hold on to; take sharper, brighter photos of things with texture."
            )
        return f"No two of the {len(found.names)} photos show the same; neighbouring photos should share at least half of the picture."
    shown = evidence_of_photos(found, found.cameras, None, options.parallax, fixed_lens=options.mapping.fixed_lens)
    if shown is not None and shown.still > 1 - options.parallax.share:
        return why_flat(shown, "photos", "between photos")
    if _mostly_flat(found):
        flat = sum(pair.kind != "full" for pair in found.key_pairs.values())
        return (
            f"{flat} of {len(found.key_pairs)} pairs of photos are explained by a mere turn of the camera or by one plane, "
            "which tells no depth; move the camera sideways between photos, or, if all is one plane, take three photos of it or more"
            f"{'' if options.mapping.fixed_lens else ' and give K'}."
        )
    most = max(len(pair.pairs) for pair in found.key_pairs.values())
    return (
        f"No model stands on what the photos share ({counted(len(found.key_pairs), 'pair')} match, by {counted(most, 'point')} at "
        "most): neighbouring photos should share half of the picture, seen from places further sideways."
    )
