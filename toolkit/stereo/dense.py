"""Dense depth of photos or frames whose cameras are known: neighbours are chosen, planes swept, the maps checked against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import cv2
import numpy as np

from toolkit.errors import UserError
from toolkit.parallel import in_order
from toolkit.progress import Report, silent
from toolkit.scene import F32, F64, U8, B, Cameras, DepthVideo, Scene
from toolkit.stereo.consistency import ask_views, carried_to, enlarged
from toolkit.stereo.dense_confidence import dense_confidence, dense_evidence
from toolkit.stereo.fill import without_speckles
from toolkit.stereo.neighbours import NeighbourSettings, neighbours_of
from toolkit.stereo.plane_sweep import Planes, Sweep, SweepSettings, View, planes_between, sweep
from toolkit.stereo.sweep_refine import refine_labels

Ignored = Callable[[int], B | None] | Sequence[B | None] | B
"""What not to match in each frame: a function of the frame, or one (H, W) mask a frame, True where ignored; None for nothing."""

# Frames of a long clip that may be neighbours of a frame: near ones closely, far ones sparsely.
_OFFSETS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96)
_KEPT = 100  # small pictures and masks that are kept: a view is compared with several others
FEW = 12  # points of a view that tell a range of depths


@dataclass(frozen=True)
class DenseSettings:
    """How dense depth is found.

    Attributes:
        side: Pictures are matched at so many pixels along the longer side; time goes with its third power.
        neighbours: Which other views are compared.
        sweep: How they are compared.
        nearer: Depths are tried from the nearest known points' over so much ...
        farther: ... to the farthest ones' times so much.
        outside: Share of the points at either end that say nothing: wrong ones.
        asked: Maps of so many views are asked whether they agree.
        within_steps: Maps of two views agree up to so many planes.
        min_confidence: Depths that are less sure are unknown.
        carried: What is taken over from other views' maps is so much less sure: something that they do not see may stand before it.
        speckle: Connected surfaces under so many millionths of the picture are unknown.
        all_candidates: In clips of up to so many frames every frame may be a neighbour of every other.
    """

    side: int = 640
    neighbours: NeighbourSettings = field(default_factory=NeighbourSettings)
    sweep: SweepSettings = field(default_factory=SweepSettings)
    nearer: float = 1.3
    farther: float = 2.0
    outside: float = 0.01
    asked: int = 6
    within_steps: float = 1.5
    min_confidence: float = 0.5
    carried: float = 0.75
    speckle: float = 250.0
    all_candidates: int = 80


def dense_depth(
    scene: Scene,
    *,
    ignored: Ignored | None = None,
    views: Sequence[int] | None = None,
    settings: DenseSettings | None = None,
    report: Report = silent,
) -> DepthVideo:
    """Depth of every frame of a scene with cameras, from the other frames; nothing is guessed, what no two views show stays unknown.

    Each chosen frame is compared with a few others that see the same from fair angles; their maps are asked whether they agree, agreeing
    depths are averaged. Frames between the chosen ones take over what falls into them. Things that move are unknown where `ignored`
    says where they are, and mostly elsewhere too, as no other view agrees.

    Args:
        scene: With video, cameras, and 3D points: tracks that stand still, or a cloud.
        ignored: What not to match, at the size of the video.
        views: Frames that are matched, for long clips; None for all.
        settings: Size, neighbours, limits.
        report: Called per frame.

    Returns:
        (T, H, W) z-depth of the size of the video, in the unit of the scene, NaN where unknown; its confidence is the chance of an error
        under 2 % of the depth, 0 where unknown.

    Raises:
        UserError: the scene has no video, cameras or points, or no two frames with a pose.
    """
    use = settings or DenseSettings()
    if scene.video is None or scene.cameras is None or (scene.tracks_3d is None and scene.points is None):
        raise UserError("Dense depth needs a scene with video, cameras and points.")
    if scene.cameras.registered.sum() < 2:  # noqa: PLR2004  (to compare)
        raise UserError(f"Dense depth needs two frames with a pose, but {int(scene.cameras.registered.sum())} of the scene has one.")
    width, height = scene.video.size
    small = _Small(scene, use.side, ignored)
    registered = np.flatnonzero(scene.cameras.registered)
    keys = [int(t) for t in (registered if views is None else views) if scene.cameras.registered[t]]
    maps = np.full((len(scene.video), small.height, small.width), np.nan, np.float32)
    steps = np.full(len(maps), np.nan)
    found: dict[int, Sweep] = {}
    asked: dict[int, list[int]] = {}
    total = len(keys) + len(maps)

    def one(t: int) -> tuple[int, list[int], Sweep | None]:
        return _swept(t, scene, small, keys, use)

    for done, (t, others, swept) in enumerate(in_order(one, keys)):
        if swept is not None:
            maps[t] = swept.planes.first + swept.planes.step * swept.label
            steps[t] = swept.planes.step
            # Kept until all views are matched: half of the digits are enough.
            found[t], asked[t] = replace(swept, margin=swept.margin.astype(np.float16), cost=swept.cost.astype(np.float16)), others
        report(done + 1, total)
    for t, others in list(asked.items()):
        for s in others:
            if s in asked and t not in asked[s]:
                asked[s] = [*asked[s], t]  # who is asked asks back

    depth = np.full((len(maps), height, width), np.nan, np.float32)
    sure = np.zeros(depth.shape, np.float32)
    fused, certain = np.full_like(maps, np.nan), np.zeros_like(maps)
    for t, swept in found.items():
        fused[t], certain[t] = _agreed(t, maps, steps, asked[t], small, swept, use)
    del maps, found
    for t in range(len(depth)):
        inverse, certainty = _with_others(t, fused, certain, list(asked), small, use)
        depth[t], sure[t] = enlarged(inverse, certainty, (width, height))
        report(len(keys) + t + 1, total)
    return DepthVideo(depth, sure, scene.unit)


def _swept(t: int, scene: Scene, small: _Small, keys: list[int], use: DenseSettings) -> tuple[int, list[int], Sweep | None]:
    """What its neighbours tell of a view, and which of the views with maps are to be asked about it."""
    xyz_w = points_seen(scene, t)
    others = neighbours_of(t, small.cameras, xyz_w, _candidates(t, len(small.cameras), use.all_candidates), use.neighbours)
    if len(xyz_w) < FEW or not others:
        return t, [], None
    view, beside = small.view(t), [small.view(s) for s in others]
    z = xyz_w @ view.T_cw[2, :3] + view.T_cw[2, 3]
    near, far = np.quantile(z[z > 0], [use.outside, 1 - use.outside])
    planes: Planes = planes_between(view, beside, float(near) / use.nearer, float(far) * use.farther, use.sweep)
    swept = sweep(view, beside, planes, use.sweep)
    label = refine_labels(swept.label, view, beside, planes)
    # At either end it is a sky, or something nearer than was tried.
    label[(label < 1) | (label > planes.count - 2)] = np.nan
    asked = neighbours_of(t, small.cameras, xyz_w, keys, replace(use.neighbours, count=use.asked))
    return t, asked, replace(swept, label=label)


def _agreed(t: int, maps: F32, steps: F64, others: list[int], small: _Small, swept: Sweep, use: DenseSettings) -> tuple[F32, F32]:
    """Inverse depth of a view averaged with the maps that agree, and how sure it is; NaN where that is too little."""
    agreed = ask_views(maps, steps, t, others, small.cameras, within=use.within_steps)
    swept = replace(swept, margin=swept.margin.astype(np.float32), cost=swept.cost.astype(np.float32))
    sure = dense_confidence(dense_evidence(swept, agreed, small.grey(t)))
    known = np.isfinite(agreed.inverse_depth) & (sure >= use.min_confidence) & small.usable(t)
    labels = (agreed.inverse_depth - np.float32(swept.planes.first)) / np.float32(swept.planes.step)
    known = without_speckles(np.asarray(labels, np.float32), known, area=int(use.speckle * 1e-6 * known.size) + 1, step_px=1.5)
    return np.where(known, agreed.inverse_depth, np.nan).astype(np.float32), np.where(known, sure, 0).astype(np.float32)


def _with_others(t: int, fused: F32, certain: F32, keys: list[int], small: _Small, use: DenseSettings) -> tuple[F32, F32]:
    """A map and its certainty, filled with what other views' maps say where its own says nothing; those have a map of their own."""
    inverse, certainty = fused[t], certain[t]
    others = [k for k in keys if k != t]
    if not others or not small.cameras.registered[t]:
        return inverse, certainty
    carried, sure = carried_to(t, fused, certain, _alike(t, others, small.cameras), small.cameras)
    fill = np.isnan(inverse) & np.isfinite(carried) & (use.carried * sure >= use.min_confidence) & small.usable(t)
    return np.where(fill, carried, inverse), np.where(fill, np.float32(use.carried) * sure, certainty)


def points_seen(scene: Scene, t: int) -> F64:
    """(N, 3) world points of what stands still that a frame sees: of its tracks, else of the cloud."""
    assert scene.cameras is not None
    if scene.tracks_3d is not None:
        tracks = scene.tracks_3d
        seen = tracks.visible[:, t] & (np.nan_to_num(tracks.motion) < 0.5) & np.asarray(np.isfinite(tracks.xyz[:, t]).all(-1))  # noqa: PLR2004
        if seen.sum() >= FEW or scene.points is None:
            return tracks.xyz[seen, t].astype(np.float64)
    assert scene.points is not None
    xyz_w = scene.points.xyz.astype(np.float64)
    local = xyz_w @ scene.cameras.T_cw[t, :3, :3].T + scene.cameras.T_cw[t, :3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        xy = local[:, :2] / local[:, 2:] @ scene.cameras.K[t, :2, :2].T + scene.cameras.K[t, :2, 2]
        return xyz_w[(local[:, 2] > 0) & (xy > 0).all(1) & (xy < scene.cameras.size[t]).all(1)]


def _alike(t: int, others: list[int], cameras: Cameras) -> list[int]:
    """The three of these views that stand nearest and look the same way."""
    apart = np.linalg.norm(cameras.centres[others] - cameras.centres[t], axis=1)
    turn = np.arccos(np.clip(cameras.T_wc[others, :3, 2] @ cameras.T_wc[t, :3, 2], -1, 1))
    extent = np.linalg.norm(np.nanmax(cameras.centres, axis=0) - np.nanmin(cameras.centres, axis=0))
    return [others[i] for i in np.argsort(apart / max(float(extent), 1e-12) + turn, kind="stable")[:3]]


def _candidates(t: int, count: int, every: int) -> list[int]:
    if count <= every:
        return list(range(count))
    return [s for offset in _OFFSETS for s in (t - offset, t + offset) if 0 <= s < count]


class _Small:
    """The frames at the size at which they are matched."""

    def __init__(self, scene: Scene, side: int, ignored: Ignored | None) -> None:
        assert scene.video is not None and scene.cameras is not None
        self._frames, self._ignored = scene.video.frames, ignored
        w, h = scene.video.size
        shrink = min(1.0, side / max(w, h))
        self.width, self.height = max(16, round(w * shrink)), max(16, round(h * shrink))
        S = np.diag([self.width / w, self.height / h, 1.0])
        size = np.tile(np.array([self.width, self.height], np.int64), (len(scene.cameras), 1))
        self.cameras = Cameras(S @ scene.cameras.K, scene.cameras.T_wc, size)
        self.grey, self.usable = lru_cache(_KEPT)(self._grey), lru_cache(_KEPT)(self._usable)

    def _grey(self, t: int) -> U8:
        """(H, W) uint8."""
        grey = cv2.cvtColor(self._frames[t], cv2.COLOR_RGB2GRAY)
        return cv2.resize(grey, (self.width, self.height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]

    def _usable(self, t: int) -> B:
        """(H, W) False where a mask says so, and where the picture is black as it is beside a smaller photo on a common canvas."""
        size = (self.width, self.height)
        black = (self._frames[t].max(axis=2) == 0).astype(np.uint8)
        black = cv2.morphologyEx(black, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
        out = cv2.resize(black, size, interpolation=cv2.INTER_AREA) == 0
        mask = None if self._ignored is None else self._ignored(t) if callable(self._ignored) else self._ignored[t]
        if mask is not None:
            out &= cv2.resize(np.asarray(mask, np.uint8) * 255, size, interpolation=cv2.INTER_AREA) == 0
        return np.asarray(out)

    def view(self, t: int) -> View:
        """The frame, ready to be compared."""
        return View(self.grey(t), self.usable(t), self.cameras.K[t], self.cameras.T_cw[t])
