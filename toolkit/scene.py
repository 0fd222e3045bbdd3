"""The nouns of Lift4D: frozen dataclasses that check their own shapes.

Rules that hold everywhere:
    * Camera axes are OpenCV's: x right, y down, z forward. `T_wc` maps camera to world, `T_cw` is its inverse.
    * Pixel coordinates are continuous: the image spans [0, W] x [0, H], the centre of the top-left pixel is (0.5, 0.5).
    * Depth is z-depth, not ray length. Unknown is NaN, never 0.
    * Queries are (t, x, y), t a frame index. Arrays of tracks are track-major: (N, T, ...).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.disk_arrays import large_copy, large_take
from toolkit.errors import UserError
from toolkit.wording import counted

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]
B = NDArray[np.bool_]
I64 = NDArray[np.int64]

Unit = Literal["metre", "relative"]
Kind = Literal["vr180", "stereo", "mono", "multiview", "photos", "tracks", "scene"]


def _check(noun: str, name: str, value: ArrayLike, dtype: type, shape: tuple[int | str, ...], dims: dict[str, int]) -> Any:
    """`value` as an array of `dtype`, or a UserError that names the field, its shape and the shape it must have."""
    array = np.asarray(value)
    wanted = "(" + ", ".join(str(d) for d in shape) + ("," if len(shape) == 1 else "") + ")"
    if array.ndim != len(shape):
        raise UserError(f"{noun}.{name} has shape {array.shape}, but {wanted} is needed.")
    for size, want in zip(array.shape, shape, strict=True):
        if (size != dims.setdefault(want, size)) if isinstance(want, str) else (size != want):
            known = ", ".join(f"{k} = {v}" for k, v in dims.items())
            raise UserError(f"{noun}.{name} has shape {array.shape}, but {wanted} is needed" + (f" with {known}." if known else "."))
    if array.dtype.kind not in "biuf":
        raise UserError(f"{noun}.{name} holds {array.dtype}, but numbers of type {np.dtype(dtype).name} are needed.")
    return array.astype(dtype, copy=False)


@dataclass(frozen=True, eq=False)
class Video:
    """Frames and the moment each was taken.

    Attributes:
        frames: (T, H, W, 3) uint8 RGB.
        times_s: (T,) float64 seconds, rising.
    """

    frames: U8
    times_s: F64

    def __post_init__(self) -> None:
        """Checks shapes and that time rises."""
        dims: dict[str, int] = {}
        given = np.asarray(self.frames)
        if given.dtype.kind == "f" and given.size and 0 < given.max() <= 1:
            raise UserError(f"Video.frames holds {given.dtype} from 0 to 1, but whole numbers from 0 to 255 are needed; multiply by 255.")
        object.__setattr__(self, "frames", _check("Video", "frames", self.frames, np.uint8, ("T", "H", "W", 3), dims))
        object.__setattr__(self, "times_s", _check("Video", "times_s", self.times_s, np.float64, ("T",), dims))
        if len(self.frames) == 0:
            raise UserError("Video.frames is empty, but a video needs at least one frame.")
        if not np.all(np.diff(self.times_s) > 0):
            raise UserError("Video.times_s must rise from frame to frame.")

    @staticmethod
    def from_frames(frames: ArrayLike, fps: float = 30.0) -> Video:
        """A video from (T, H, W, 3) uint8 frames at a constant rate."""
        array = np.asarray(frames)
        if not fps > 0:
            raise UserError(f"fps is {fps}, but a positive number of frames per second is needed.")
        return Video(array, np.arange(len(array)) / fps)

    def __len__(self) -> int:
        """Number of frames, T."""
        return len(self.frames)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.frames.shape[2], self.frames.shape[1]

    @property
    def fps(self) -> float:
        """Median frames per second; 30 for a single frame."""
        return 1.0 / float(np.median(np.diff(self.times_s))) if len(self) > 1 else 30.0

    def __str__(self) -> str:
        """For a person: "57 frames, 512 x 512, 30.0 fps"."""
        return f"{counted(len(self), 'frame')}, {self.size[0]} x {self.size[1]}, {self.fps:.1f} fps"


@dataclass(frozen=True, eq=False)
class StereoVideo:
    """Two rectified views: the same row shows the same ray elevation, the right camera sits at +x of the left one.

    Attributes:
        left: Left eye.
        right: Right eye, as many frames of the same size.
        K: (3, 3) float64 intrinsics of both eyes, in pixels.
        baseline_m: Distance between the two camera centres, in metres.
    """

    left: Video
    right: Video
    K: F64
    baseline_m: float

    def __post_init__(self) -> None:
        """Checks that both eyes agree."""
        object.__setattr__(self, "K", _check("StereoVideo", "K", self.K, np.float64, (3, 3), {}))
        if self.left.frames.shape != self.right.frames.shape:
            raise UserError(f"The left eye has {self.left}, the right eye {self.right}; both must be alike.")
        if not (np.isfinite(self.baseline_m) and self.baseline_m > 0):
            raise UserError(f"The baseline is {self.baseline_m} m, but a positive distance is needed (VR180: 0.063).")

    def __len__(self) -> int:
        """Number of frames, T."""
        return len(self.left)


@dataclass(frozen=True, eq=False)
class Cameras:
    """Pinhole cameras, one a frame.

    Attributes:
        K: (T, 3, 3) float64 intrinsics, in pixels.
        T_wc: (T, 4, 4) float64 world-from-camera; all NaN where a frame is not registered.
        size: (T, 2) int64 (width, height).
    """

    K: F64
    T_wc: F64
    size: I64

    def __post_init__(self) -> None:
        """Checks shapes."""
        dims: dict[str, int] = {}
        object.__setattr__(self, "T_wc", _check("Cameras", "T_wc", self.T_wc, np.float64, ("T", 4, 4), dims))
        object.__setattr__(self, "K", _check("Cameras", "K", self.K, np.float64, ("T", 3, 3), dims))
        object.__setattr__(self, "size", _check("Cameras", "size", self.size, np.int64, ("T", 2), dims))

    @staticmethod
    def from_poses(K: ArrayLike, T_wc: ArrayLike, size: tuple[int, int]) -> Cameras:
        """Cameras that share one (3, 3) K and one (width, height); `T_wc` is (T, 4, 4) or (T, 3, 4)."""
        T = np.asarray(T_wc, np.float64)
        if T.ndim == 3 and T.shape[1:] == (3, 4):
            bottom = np.broadcast_to([0.0, 0.0, 0.0, 1.0], (len(T), 1, 4))
            T = np.concatenate([T, np.where(np.isfinite(T).all((1, 2), keepdims=True), bottom, np.nan)], axis=1)
        K3 = np.broadcast_to(np.asarray(K, np.float64), (len(T), 3, 3)).copy()
        return Cameras(K3, T, np.tile(np.asarray(size, np.int64), (len(T), 1)))

    def __len__(self) -> int:
        """Number of frames, T."""
        return len(self.T_wc)

    @property
    def T_cw(self) -> F64:
        """(T, 4, 4) camera-from-world."""
        R, c = self.T_wc[:, :3, :3], self.T_wc[:, :3, 3]
        T_cw = self.T_wc.copy()
        T_cw[:, :3, :3] = R.transpose(0, 2, 1)
        T_cw[:, :3, 3] = -np.einsum("tji,tj->ti", R, c)
        return T_cw

    @property
    def centres(self) -> F64:
        """(T, 3) camera centres in the world."""
        return self.T_wc[:, :3, 3]

    @property
    def registered(self) -> B:
        """(T,) which frames have a pose."""
        return np.asarray(np.isfinite(self.T_wc).all((1, 2)))

    def __str__(self) -> str:
        """For a person: "120 poses, 118 registered, path 3.4"."""
        steps = np.linalg.norm(np.diff(self.centres[self.registered], axis=0), axis=1)
        return f"{counted(len(self), 'pose')}, {int(self.registered.sum())} registered, path {steps.sum():.2f}"


@dataclass(frozen=True, eq=False)
class Tracks2D:
    """Points followed through a video.

    Attributes:
        xy: (N, T, 2) float32 pixels, continuous (pixel centres at .5).
        visible: (N, T) which samples are seen.
        confidence: (N, T) float32, 0..1.
        queries: (N, 3) float32 (t, x, y): where each track was asked for.
        sigma_px: (N, T) float32 standard deviation of each position per axis, NaN where unknown; or None.
    """

    xy: F32
    visible: B
    confidence: F32
    queries: F32
    sigma_px: F32 | None = None

    def __post_init__(self) -> None:
        """Checks shapes."""
        dims: dict[str, int] = {}
        object.__setattr__(self, "xy", _check("Tracks2D", "xy", self.xy, np.float32, ("N", "T", 2), dims))
        object.__setattr__(self, "visible", _check("Tracks2D", "visible", self.visible, np.bool_, ("N", "T"), dims))
        object.__setattr__(self, "confidence", _check("Tracks2D", "confidence", self.confidence, np.float32, ("N", "T"), dims))
        object.__setattr__(self, "queries", _check("Tracks2D", "queries", self.queries, np.float32, ("N", 3), dims))
        if self.sigma_px is not None:
            object.__setattr__(self, "sigma_px", _check("Tracks2D", "sigma_px", self.sigma_px, np.float32, ("N", "T"), dims))

    def __len__(self) -> int:
        """Number of tracks, N."""
        return len(self.xy)

    def select(self, which: ArrayLike) -> Tracks2D:
        """The tracks of a boolean mask (N,) or of indices."""
        i = np.asarray(which)
        sigma = None if self.sigma_px is None else large_take(self.sigma_px, i)
        return Tracks2D(large_take(self.xy, i), large_take(self.visible, i), large_take(self.confidence, i), self.queries[i], sigma)

    def __str__(self) -> str:
        """For a person: "4096 tracks x 57 frames, 81 % visible"."""
        share = 100 * self.visible.mean() if self.visible.size else 0
        return f"{counted(len(self), 'track')} x {counted(self.xy.shape[1], 'frame')}, {share:.0f} % visible"


@dataclass(frozen=True, eq=False)
class Tracks3D:
    """Points that move through the world.

    Attributes:
        xyz: (N, T, 3) float32 world coordinates in the scene's unit, NaN where unknown.
        visible: (N, T) which samples were measured.
        rgb: (N, 3) uint8 colour of each track.
        motion: (N,) float32, 0 still .. 1 moving.
        sigma: (N, T) float32 standard deviation of each position in the scene's unit, NaN where unknown; or None.
    """

    xyz: F32
    visible: B
    rgb: U8
    motion: F32
    sigma: F32 | None = None

    def __post_init__(self) -> None:
        """Checks shapes."""
        dims: dict[str, int] = {}
        object.__setattr__(self, "xyz", _check("Tracks3D", "xyz", self.xyz, np.float32, ("N", "T", 3), dims))
        object.__setattr__(self, "visible", _check("Tracks3D", "visible", self.visible, np.bool_, ("N", "T"), dims))
        object.__setattr__(self, "rgb", _check("Tracks3D", "rgb", self.rgb, np.uint8, ("N", 3), dims))
        object.__setattr__(self, "motion", _check("Tracks3D", "motion", self.motion, np.float32, ("N",), dims))
        if self.sigma is not None:
            object.__setattr__(self, "sigma", _check("Tracks3D", "sigma", self.sigma, np.float32, ("N", "T"), dims))

    def __len__(self) -> int:
        """Number of tracks, N."""
        return len(self.xyz)

    def select(self, which: ArrayLike) -> Tracks3D:
        """The tracks of a boolean mask (N,) or of indices."""
        i = np.asarray(which)
        sigma = None if self.sigma is None else large_take(self.sigma, i)
        return Tracks3D(large_take(self.xyz, i), large_take(self.visible, i), self.rgb[i], self.motion[i], sigma)

    def replaced(self, which: ArrayLike, others: Tracks3D) -> Tracks3D:
        """These tracks with those of a boolean mask (N,) or of indices replaced by `others`, in order."""
        i = np.asarray(which)

        def mixed(mine: Any, theirs: Any) -> Any:
            out = large_copy(mine)
            out[i] = theirs
            return out

        sigma = None if self.sigma is None or others.sigma is None else mixed(self.sigma, others.sigma)
        xyz, visible = mixed(self.xyz, others.xyz), mixed(self.visible, others.visible)
        return Tracks3D(xyz, visible, mixed(self.rgb, others.rgb), mixed(self.motion, others.motion), sigma)

    def __str__(self) -> str:
        """For a person: "4096 tracks x 57 frames, 12 % moving"."""
        share = 100 * (self.motion > 0.5).mean() if len(self) else 0
        return f"{counted(len(self), 'track')} x {counted(self.xyz.shape[1], 'frame')}, {share:.0f} % moving"


@dataclass(frozen=True, eq=False)
class Disparity:
    """How far each pixel of the rectified left image shifts to the right one.

    Attributes:
        px: (T, H, W) float32, positive, x_right = x_left - px; NaN where unknown.
        confidence: (T, H, W) float32, 0..1: the chance that the error is under 2 px.
    """

    px: F32
    confidence: F32

    def __post_init__(self) -> None:
        """Checks shapes."""
        dims: dict[str, int] = {}
        object.__setattr__(self, "px", _check("Disparity", "px", self.px, np.float32, ("T", "H", "W"), dims))
        object.__setattr__(self, "confidence", _check("Disparity", "confidence", self.confidence, np.float32, ("T", "H", "W"), dims))

    def __len__(self) -> int:
        """Number of frames, T."""
        return len(self.px)


@dataclass(frozen=True, eq=False)
class DepthVideo:
    """Z-depth of every pixel of every frame.

    Attributes:
        depth: (T, H, W) float32 z-depth, NaN where unknown.
        confidence: (T, H, W) float32, 0..1.
        unit: "metre", or "relative" where the scale is not known.
    """

    depth: F32
    confidence: F32
    unit: Unit = "metre"

    def __post_init__(self) -> None:
        """Checks shapes."""
        dims: dict[str, int] = {}
        object.__setattr__(self, "depth", _check("DepthVideo", "depth", self.depth, np.float32, ("T", "H", "W"), dims))
        object.__setattr__(self, "confidence", _check("DepthVideo", "confidence", self.confidence, np.float32, ("T", "H", "W"), dims))

    def __len__(self) -> int:
        """Number of frames, T."""
        return len(self.depth)


@dataclass(frozen=True, eq=False)
class MultiViewVideo:
    """Synchronised views of one scene.

    Attributes:
        views: V videos with as many frames each.
        cameras: One Cameras of T frames per view.
        depth_m: One (T, H, W) float32 z-depth per view, NaN where unknown; or None.
    """

    views: tuple[Video, ...]
    cameras: tuple[Cameras, ...]
    depth_m: tuple[F32, ...] | None = None

    def __post_init__(self) -> None:
        """Checks that the views are synchronised."""
        if not self.views or len({len(v) for v in self.views}) != 1:
            raise UserError(f"The views have {[len(v) for v in self.views]} frames, but synchronised views need the same number each.")
        if len(self.cameras) != len(self.views):
            raise UserError(f"{len(self.views)} views came with {len(self.cameras)} cameras; one per view is needed.")


@dataclass(frozen=True, eq=False)
class PointCloud:
    """Coloured points in the world.

    Attributes:
        xyz: (P, 3) float32 in the scene's unit.
        rgb: (P, 3) uint8.
    """

    xyz: F32
    rgb: U8

    def __post_init__(self) -> None:
        """Checks shapes."""
        dims: dict[str, int] = {}
        object.__setattr__(self, "xyz", _check("PointCloud", "xyz", self.xyz, np.float32, ("P", 3), dims))
        object.__setattr__(self, "rgb", _check("PointCloud", "rgb", self.rgb, np.uint8, ("P", 3), dims))

    def __len__(self) -> int:
        """Number of points, P."""
        return len(self.xyz)


@dataclass(frozen=True, eq=False)
class Scene:
    """The one result of every method: what is saved, drawn, exported and evaluated. Every part but `method` may be None.

    Attributes:
        cameras: Camera of each frame of `video`.
        tracks_2d: Tracks in pixels of `video`.
        tracks_3d: The same tracks in the world.
        depth: Depth of each frame of `video`.
        points: Static cloud of the scene.
        unit: "metre", or "relative" where the scale is not known.
        method: Name of the method that made it.
        report: What was measured on the way: numbers, warnings, settings; JSON-like.
        video: The frames that the tracks live in (the rectified left eye for stereo).
        masks: (T, H, W) which pixels of `video` show something that moves in the world.
        views: The same tracks and moments as further cameras see them, where several filmed together: one scene each.
    """

    cameras: Cameras | None = None
    tracks_2d: Tracks2D | None = None
    tracks_3d: Tracks3D | None = None
    depth: DepthVideo | None = None
    points: PointCloud | None = None
    unit: Unit = "metre"
    method: str = ""
    report: Mapping[str, Any] = field(default_factory=dict)
    video: Video | None = None
    masks: B | None = None
    views: tuple[Scene, ...] = ()

    def __post_init__(self) -> None:
        """Checks that all parts have the same number of frames, both kinds of tracks the same number, and masks the size of the video."""
        if self.masks is not None:
            object.__setattr__(self, "masks", _check("Scene", "masks", self.masks, np.bool_, ("T", "H", "W"), {}))
            if self.video is not None and self.masks.shape != self.video.frames.shape[:3]:
                raise UserError(
                    f"Scene.masks has shape {self.masks.shape}, but the video has {self.video.frames.shape[:3]}; both must be alike."
                )
        lengths = {
            "cameras": len(self.cameras) if self.cameras is not None else None,
            "tracks_2d": self.tracks_2d.xy.shape[1] if self.tracks_2d is not None else None,
            "tracks_3d": self.tracks_3d.xyz.shape[1] if self.tracks_3d is not None else None,
            "depth": len(self.depth) if self.depth is not None else None,
            "video": len(self.video) if self.video is not None else None,
            "masks": len(self.masks) if self.masks is not None else None,
            **{f"view {v + 1}": view.frames for v, view in enumerate(self.views)},
        }
        if len({n for n in lengths.values() if n is not None}) > 1:
            raise UserError(f"The parts of a scene have different numbers of frames: {lengths}.")
        if self.tracks_2d is not None and self.tracks_3d is not None and len(self.tracks_2d) != len(self.tracks_3d):
            raise UserError(f"The scene has {len(self.tracks_2d)} tracks in 2D but {len(self.tracks_3d)} in 3D.")

    @property
    def frames(self) -> int:
        """Number of frames, T; 0 for a scene without any part over time."""
        for part in (self.cameras, self.depth, self.video):
            if part is not None:
                return len(part)
        for tracks in (self.tracks_3d, self.tracks_2d):
            if tracks is not None:
                return tracks.visible.shape[1]
        return 0

    def __str__(self) -> str:
        """For a person, one line."""
        parts = [
            str(p) for p in (self.video, self.tracks_3d if self.tracks_3d is not None else self.tracks_2d, self.cameras) if p is not None
        ]
        units = "metres" if self.unit == "metre" else "relative units"
        path_unit = " m" if self.cameras is not None and self.unit == "metre" else ""
        return f"{self.method} scene in {units}: " + "; ".join(parts) + path_unit if parts else f"{self.method} scene, empty"


@dataclass(frozen=True)
class Estimate:
    """What a run will cost on this machine, before it starts.

    Attributes:
        seconds: Wall time on two cores.
        memory_mb: Peak memory.
    """

    seconds: float
    memory_mb: float


_KIND_NAMES: dict[Kind, str] = {
    "vr180": "VR180",
    "stereo": "stereo pair",
    "mono": "one camera",
    "multiview": "several cameras",
    "photos": "photos",
    "tracks": "2D tracks",
    "scene": "Lift4D scene",
}


@dataclass(frozen=True)
class Source:
    """What a file is, found before anything is computed.

    Attributes:
        path: The file or folder.
        kind: What kind of recording it is.
        frames: Number of frames; 0 when not known.
        size: (width, height) of the stored picture in pixels, rotation applied; of one photo for photos.
        fps: Frames per second; 0 for photos.
        layout: How two eyes share a frame: "mono", "side-by-side", "top-bottom", or "separate" (two files).
        projection: How a pixel becomes a ray: "pinhole", "equirect", "fisheye", "mesh".
        warnings: Sentences for a person.
        estimate: Cost by preset ("draft", "normal", "fine").
        details: Whatever else was found: duration_s, codec, rotation_deg, fov_bounds_deg, vertical_disparity_px, camm ... ; JSON-like.
    """

    path: str
    kind: Kind
    frames: int
    size: tuple[int, int]
    fps: float
    layout: str = "mono"
    projection: str = "pinhole"
    warnings: tuple[str, ...] = ()
    estimate: Mapping[str, Estimate] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """For a person: "VR180, top-bottom, 149 frames, 1072 x 1504, 30.0 fps, lens mesh found"."""
        annotation = self.details.get("annotation") if self.kind == "scene" else None  # is opened like a result of ours, but is none
        parts = [f"{annotation} annotation" if annotation else _KIND_NAMES[self.kind]]
        if self.layout in ("side-by-side", "top-bottom"):
            parts.append(self.layout)
        if "views" in self.details:
            parts.append(counted(int(self.details["views"]), "view"))
        if self.frames:
            parts.append(counted(self.frames, "photo" if self.kind == "photos" else "frame"))
        parts.append(f"{self.size[0]} x {self.size[1]}")
        if self.fps:
            parts.append(f"{self.fps:.1f} fps")
        if self.projection == "mesh":
            parts.append("lens mesh found")
        elif self.projection != "pinhole":
            parts.append(self.projection)
        if self.details.get("calibration_used"):
            parts.append(f"cameras of {self.details['calibration_used']}")
        return ", ".join(parts)
