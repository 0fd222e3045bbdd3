"""The depth of every pixel of every frame, from what speaks for it: matching between frames, tracks, a given depth, a network."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.disk_arrays import large_full
from toolkit.geometry.cameras import project
from toolkit.geometry.sampling import sample_bilinear
from toolkit.lifting.depth_between import BetweenOptions, confidence_of_sigma, depth_between
from toolkit.methods.st4rtrack_report import USABLE
from toolkit.progress import Listener, reporter
from toolkit.scene import F32, F64, B, DepthVideo, PointCloud, Scene
from toolkit.sfm.depth_scale import log_linear
from toolkit.stereo.dense import DenseSettings, dense_depth

if TYPE_CHECKING:
    from toolkit.models.pairpointmap import PairPointmap, PublishedPairPointmap

    Network: TypeAlias = PairPointmap | PublishedPairPointmap

MOVING = 0.5
LEAST_REGISTERED = 3
CLOUD_POINTS = 60_000


@dataclass(frozen=True)
class DenseOptions:
    """How depth is found.

    Attributes:
        side: Frames are matched at so many pixels; 0 for not at all.
        views: Frames that are matched themselves, at most.
        usable_sigma: A depth from elsewhere that is off by more, as a share of it and where tracks tell depth well, is not heard.
        better: Nor is one whose error is more than this share of that of one depth for all.
        unmeasured_sigma: So wrong a network is taken to be where no track tells depth.
        mover_radius: Around a moving track so large a share of the picture is left out of the matching.
        between: How depth is spread from pixels that are known.
    """

    side: int = 288
    views: int = 40
    usable_sigma: float = USABLE
    better: float = 0.7
    unmeasured_sigma: float = 0.35
    mover_radius: float = 0.02
    between: BetweenOptions = field(default_factory=BetweenOptions)


@dataclass(frozen=True, eq=False)
class Prior:
    """Depth from elsewhere on the scale of the scene.

    Attributes:
        name: Whose.
        depth: (T, h, w) z-depth.
        sigma: How wrong it is as a share of it, measured on this clip where it can be.
        measured: Whether it could.
        flat_sigma: How wrong one depth for all would be, measured alike.
    """

    name: str
    depth: F32
    sigma: float
    measured: bool
    flat_sigma: float = np.inf


def with_dense(
    scene: Scene, options: DenseOptions, *, network: Network | None, given_depth: DepthVideo | None, masks: B | None, listener: Listener
) -> tuple[Scene, dict[str, Any]]:
    """The scene with depth, masks of what moves and a dense cloud; and what each source of evidence carried.

    Args:
        scene: Of `tracksto4d_solving.scene_of`, with its video.
        options: How.
        network: Two-view network, ours or a published one, or None.
        given_depth: Depth of each frame, of any scale, or None.
        masks: (T, H, W) True where nothing counts.
        listener: Told the progress.
    """
    assert scene.video is not None and scene.cameras is not None and scene.tracks_3d is not None and scene.tracks_2d is not None
    tracks, frames, (width, height) = scene.tracks_3d, len(scene.video), scene.video.size
    registered = scene.cameras.registered
    walks = _walks(scene)
    carried: dict[str, Any] = {"parallax": walks, "priors": [], "matched": 0.0, "spread": 0.0, "prior": 0.0, "unknown": 0.0}
    matched = _matched(scene, options, masks, listener) if walks and options.side else None
    priors = _priors(scene, network, given_depth, options, walks, carried, listener)
    carried["priors"] = [
        {
            "name": p.name,
            "sigma": round(p.sigma, 3),
            "one_depth_sigma": round(p.flat_sigma, 3) if np.isfinite(p.flat_sigma) else None,
            "measured": p.measured,
            "heard": _heard(p, options),
        }
        for p in priors
    ]
    heard = min((p for p in priors if _heard(p, options)), key=lambda p: p.sigma, default=None)
    report = reporter(listener, "depth", "Spreading depth over every pixel")
    _, z = project(tracks.xyz.astype(np.float64), scene.cameras.K, scene.cameras.T_wc)
    sigma = _relative_sigma(scene, z)
    shape = (frames, height, width)
    depth, sure, moves = large_full(shape, np.nan, np.float32), large_full(shape, 0, np.float32), large_full(shape, False, np.bool_)
    for t in range(frames):
        if registered[t]:
            seen = tracks.visible[:, t]
            one = depth_between(
                scene.video.frames[t], scene.tracks_2d.xy[seen, t], z[seen, t], sigma[seen, t], tracks.motion[seen] > MOVING,
                matched=None if matched is None else matched[t],
                prior=None if heard is None or not np.isfinite(heard.depth[t]).any() else heard.depth[t],
                prior_sigma=np.inf if heard is None else heard.sigma,
                options=options.between,
            )  # fmt: skip
            depth[t], sure[t], moves[t] = one.depth, confidence_of_sigma(one.sigma), one.moves
            if masks is not None:
                depth[t, masks[t]], sure[t, masks[t]] = np.nan, 0
            carried["matched"] += float(one.matched.mean()) / frames
            carried["unknown"] += float(np.isnan(depth[t]).mean()) / frames
        else:
            carried["unknown"] += 1 / frames
        report(t + 1, frames)
    carried["spread"] = max(0.0, 1 - carried["matched"] - carried["unknown"])
    video = DepthVideo(depth, sure, scene.unit)
    return replace(scene, depth=video, masks=moves, points=_cloud(scene, video, moves) if walks else scene.points), carried


def adapted_to(network: Network, scene: Scene, steps: int, depth: DepthVideo | None, listener: Listener) -> tuple[Network, dict[str, Any]]:
    """A network that has learned from a scene's video and tracks, and what it gained, for the report; a published one stays as it is."""
    from toolkit.models.pairpointmap import PairPointmap
    from toolkit.training.pairpointmap_adaptation import AdaptOptions, adapt

    assert scene.video is not None and scene.cameras is not None and scene.tracks_2d is not None
    if not isinstance(network, PairPointmap):
        return network, {"steps": 0, "held_out_px": []}
    found = adapt(
        network, scene.video, scene.tracks_2d, scene.cameras.K[0], depth=None if depth is None else depth.depth,
        options=AdaptOptions(steps=steps), report=reporter(listener, "adapting", "Adapting the network to this video"),
    )  # fmt: skip
    return found.network, {"steps": found.steps, "held_out_px": [round(e, 2) for e in found.error_px]}


def _walks(scene: Scene) -> bool:
    """Whether the cameras are apart: what tells depth."""
    assert scene.cameras is not None
    centres = scene.cameras.centres[scene.cameras.registered]
    return len(centres) >= LEAST_REGISTERED and bool(np.ptp(centres, axis=0).max() > 0)


def _matched(scene: Scene, options: DenseOptions, masks: B | None, listener: Listener) -> F32:
    """(T, H, W) depth of the pixels that other frames agree on, NaN elsewhere; what moves is left out."""
    assert scene.video is not None and scene.cameras is not None and scene.tracks_3d is not None and scene.tracks_2d is not None
    report = reporter(listener, "matching", "Matching frames for dense depth")
    tracks, (width, height) = scene.tracks_3d, scene.video.size
    radius = max(2, round(options.mover_radius * max(width, height)))

    def ignored(t: int) -> B | None:
        out = np.zeros((height, width), np.uint8) if masks is None else masks[t].astype(np.uint8)
        rows = np.flatnonzero(tracks.visible[:, t] & (tracks.motion > MOVING))
        for x, y in np.nan_to_num(scene.tracks_2d.xy[rows, t], nan=-1e4).astype(int).tolist():  # type: ignore[union-attr]
            cv2.circle(out, (x, y), radius, 1, -1)
        return out > 0 if out.any() else None

    placed = np.flatnonzero(scene.cameras.registered)
    views = placed if len(placed) <= options.views else placed[np.linspace(0, len(placed) - 1, options.views).round().astype(int)]
    found = dense_depth(scene, ignored=ignored, views=[int(t) for t in views], settings=DenseSettings(side=options.side), report=report)
    return found.depth


def _relative_sigma(scene: Scene, z: F64) -> F64:
    """(N, T) how wrong the depth of tracks is, as a share of it."""
    assert scene.tracks_3d is not None
    sigma = scene.tracks_3d.sigma
    if sigma is None:
        return np.full(z.shape, 0.1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(z > 0, sigma / z, np.nan)


def _priors(
    scene: Scene,
    network: Network | None,
    given: DepthVideo | None,
    options: DenseOptions,
    walks: bool,
    carried: dict[str, Any],
    listener: Listener,
) -> list[Prior]:
    """Depths from elsewhere on the scale of the scene, with the errors they have where tracks tell depth well."""
    found = []
    if given is not None:
        found.append(_on_scale("given depth", given.depth, scene, options, walks))
    if network is not None:
        assert scene.video is not None and scene.cameras is not None
        from toolkit.models.pairpointmap import PairPointmap
        from toolkit.models.pairpointmap_video import depths_by_published, depths_of_video

        report = reporter(listener, "network", "Asking the two-view network")
        if isinstance(network, PairPointmap):
            depths = depths_of_video(network, scene.video.frames, scene.cameras.K[0] if walks else None, report=report)
        else:
            depths = depths_by_published(network, scene.video.frames, report=report)
        found.append(_on_scale("network", depths, scene, options, walks))
    return [p for p in found if p is not None]


def _on_scale(name: str, depth: NDArray, scene: Scene, options: DenseOptions, walks: bool) -> Prior | None:
    """A depth of any scale, brought to the scene's by its still tracks: one slope for the clip, one scale a frame."""
    assert scene.cameras is not None and scene.tracks_3d is not None and scene.tracks_2d is not None and scene.video is not None
    tracks, (width, height) = scene.tracks_3d, scene.video.size
    _, z = project(tracks.xyz.astype(np.float64), scene.cameras.K, scene.cameras.T_wc)
    shrink = np.array([depth.shape[2] / width, depth.shape[1] / height])
    read = np.stack([sample_bilinear(depth[t], scene.tracks_2d.xy[:, t] * shrink) for t in range(len(depth))], axis=1).astype(np.float64)
    still = tracks.visible & (tracks.motion < MOVING)[:, None] & (z > 0) & (read > 0)
    if not still.any():
        return None
    if not walks:  # one distance for all: the network's own, its median where that of the guess is
        factor = float(np.median(z[still]) / np.median(read[still]))
        return Prior(name, (factor * depth).astype(np.float32), options.unmeasured_sigma, False)
    sure = still & (_relative_sigma(scene, z) < 0.1)
    fitted = log_linear(np.nan_to_num(read), z, sure)
    if not np.isfinite(fitted).any():
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        both = np.isfinite(fitted) & (read > 0)
        slope, level = np.polyfit(np.log(read[both]), np.log(fitted[both]), 1)
        off = np.log(z) - np.log(fitted)
        scaled = np.exp(level) * np.asarray(depth, np.float64) ** slope
    errors, flat = [], []
    for t in range(len(depth)):
        rows = sure[:, t] & np.isfinite(off[:, t])
        here, known = off[rows, t], np.log(z[rows, t])
        if len(here):
            middle = float(np.median(here))
            scaled[t] *= np.exp(middle)
            errors.append(np.abs(here - middle))
            flat.append(np.abs(known - np.median(known)))
    sigma, flat_sigma = (1.4826 * float(np.median(np.concatenate(part))) if part else np.inf for part in (errors, flat))
    return Prior(name, scaled.astype(np.float32), sigma, True, flat_sigma)


def _heard(prior: Prior, options: DenseOptions) -> bool:
    """Whether a depth says something: little error, and less than one depth for all would have; a network's must be measured."""
    if not prior.measured:
        return prior.name != "network"
    return prior.sigma < min(options.usable_sigma, options.better * prior.flat_sigma)


def _cloud(scene: Scene, depth: DepthVideo, moves: B) -> PointCloud | None:
    """What stands still, of frames spread over the clip, where depth is sure."""
    from toolkit.export.clouds import CloudSettings, cloud_from_depth

    assert scene.video is not None and scene.cameras is not None
    placed = np.flatnonzero(scene.cameras.registered)
    views = placed[np.linspace(0, len(placed) - 1, min(len(placed), 8)).round().astype(int)]
    still = np.where(moves[views] | (depth.confidence[views] < 0.5), np.nan, depth.depth[views])  # noqa: PLR2004
    cameras = type(scene.cameras)(scene.cameras.K[views], scene.cameras.T_wc[views], scene.cameras.size[views])
    part = type(scene.video)(scene.video.frames[views], scene.video.times_s[views])
    cloud = cloud_from_depth(
        part,
        DepthVideo(still.astype(np.float32), depth.confidence[views], depth.unit),
        cameras,
        settings=CloudSettings(key_frames=len(views)),
    )
    return cloud if len(cloud) else scene.points
