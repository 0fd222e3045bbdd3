"""TracksTo4D (Kasten, Lu and Maron, NeurIPS 2024): 2D tracks of one video to cameras, moving points and how much each point moves."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional

from toolkit.errors import UserError
from toolkit.models.checkpoints import State, below, filled, read_state
from toolkit.models.track_encoder import TrackEncoder
from toolkit.models.tracksto4d_scene import NetworkLift, as_lift, as_scene, checked_tracks
from toolkit.models.tracksto4d_shape import NAME, NetworkShape
from toolkit.scene import Scene, Tracks2D

LICENCE = "The checkpoints of TracksTo4D (NVIDIA) are CC BY-NC 4.0: not for commercial use."
LEAST_FRAMES = 3
MOST_TRACKS = 4000  # attention over points grows with their square; many more are placed from the cameras alone
NEAREST_DEPTH = 0.01  # a point is projected as if it were no nearer, in the network's unit
LEAST_MOTION = 1e-5  # keeps a point's motion level above zero
FOCAL_STEP = 0.05  # of the focal head: its answer is a share of the given focal length
CAMERA_DEPTH = 15.0  # the cameras start so far from the world's origin, in the network's unit


class TracksTo4D(nn.Module):
    """The network; weights are named as in the published files.

    Args:
        shape: How large it is.
        parity: Whether it does what the published code does: hidden points are attended to and averaged as if they were seen, and the
            camera head sees the clip as a ring, for which it needs at least `shape.kernel // 2` frames.
    """

    def __init__(self, shape: NetworkShape | None = None, *, parity: bool = False) -> None:
        super().__init__()
        self.shape = shape = shape or NetworkShape()
        self.parity = parity
        self.transformer_my = TrackEncoder(
            width=shape.width, pairs=shape.pairs, heads=shape.heads, inner=shape.inner, hidden=shape.hidden, frequencies=shape.frequencies
        )
        self.conv_final = nn.Conv1d(shape.width, 12 + shape.bases, shape.kernel)
        self.fc1 = nn.Linear(shape.width, 3 * shape.bases + 1)
        self._settings(stored=() if parity else ("heads", "focal"))
        nn.init.xavier_uniform_(self.conv_final.weight)
        nn.init.xavier_uniform_(self.fc1.weight)

    @classmethod
    def from_state_dict(cls, state: State, *, parity: bool = False) -> TracksTo4D:
        """The network with these weights; its shape is read from theirs.

        Args:
            state: The published names; tensors or arrays.
            parity: See the class.

        Raises:
            UserError: if a name or shape differs.
        """
        state = below(state, "")
        with torch.device("meta"):
            network = cls(NetworkShape.of(state), parity=parity)
        network._settings(stored=tuple(state))
        return filled(network, state, model=NAME)

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, *, revision: str | None = None, parity: bool = False) -> TracksTo4D:
        """The network with the weights of a file that a person has. The licence of published ones is told on the standard error stream.

        Args:
            name_or_path: The path of a published checkpoint, or a .safetensors file with the same names.
            revision: Published checkpoints lie in no repository of weights, so there is nothing to name a revision of.
            parity: See the class.

        Raises:
            UserError: if the file is not there, not a file of weights, or of another model; if a revision is named.
        """
        if revision is not None:
            raise UserError(f"The weights of {NAME} are read from a file, so there is no revision {revision!r} of them.")
        file = Path(name_or_path).expanduser()
        if not file.is_file():
            raise UserError(f"There is no file {str(name_or_path)!r}; give the path of a checkpoint of {NAME}.")
        state = read_state(file, model=NAME)
        network = cls.from_state_dict(state, parity=parity)
        if "heads" not in state:  # ours say it
            print(LICENCE, file=sys.stderr)
        return network

    def _settings(self, *, stored: tuple[str, ...]) -> None:
        """Keeps what the shapes of weights don't tell beside them; published files don't, so they hold the published values."""
        for name in ("heads", "focal"):
            self.register_buffer(name, torch.tensor(float(getattr(self.shape, name)), device="cpu"), persistent=name in stored)

    def start_at_canonical_pose(self) -> None:
        """Sets the heads of a new network so that all cameras look at the world's origin: no phase of training is needed for it."""
        rotation = 4 + self.shape.bases
        with torch.no_grad():
            self.conv_final.weight.mul_(FOCAL_STEP)
            assert self.conv_final.bias is not None
            self.conv_final.bias.zero_()
            self.conv_final.bias[2] = -CAMERA_DEPTH
            self.conv_final.bias[[rotation, rotation + 4]] = 1

    def forward(self, tracks: Tensor, *, detach: bool = True) -> dict[str, Tensor]:
        """Cameras and points of clips.

        Args:
            tracks: (b, P, 3, N) of P points in N frames: x and y from the principal point by the focal length, and 1 where seen, else 0.
            detach: As published: the moving branch teaches neither the cameras nor the still points.

        Returns:
            R (b, N, 3, 3) world-from-camera and t (b, N, 3) centres; focal (b, N), share of the given one; B (b, P, 3, K) bases, the
            first of them the still point; coef (b, K, N), the first of them 1; X (b, N, 3, P) and X_static points in the world; Xcam
            (b, N, 3, P) in the camera; depth and depth_static (b, N, P); uv and uv_static (b, N, 2, P) projections; gamma (b, P) > 0
            how far a point's projections stray from a still one's, in the unit of `tracks`.

        Raises:
            UserError: too few frames, too many tracks or another shape.
        """
        self._check(tracks)
        tokens = tracks.permute(0, 3, 1, 2)  # (b, N, P, 3)
        seen = None
        if not self.parity:
            seen = tokens[..., 2] > 0.5
            tokens = torch.where(seen[..., None], tokens, 0)  # what a tracker guesses while it is blind may be anything, NaN included
        x = self.transformer_my(tokens, seen)
        with torch.autocast(x.device.type, enabled=False):  # geometry needs all digits, also where training halves them elsewhere
            x = x.float()
            camera = self.camera_head(_mean(x, seen, over=2))
            point = self.fc1(_mean(x, seen, over=1))
            return _geometry(camera, point, self.shape, detach=detach)

    def camera_head(self, frames: Tensor) -> Tensor:
        """(b, N, C) features of frames to (b, N, 12 + K) numbers of their cameras."""
        aside = self.shape.kernel // 2
        padded = functional.pad(frames.transpose(1, 2), (aside, aside), mode="circular" if self.parity else "replicate")
        return self.conv_final(padded).transpose(1, 2)

    def infer(self, tracks: Tracks2D, K: ArrayLike | None = None, size: tuple[int, int] | None = None) -> Scene:
        """Cameras and moving points from tracks, by the network alone: nothing is adjusted to the tracks.

        Args:
            tracks: N tracks of T frames, in pixels.
            K: (3, 3) or (T, 3, 3) intrinsics in pixels; None for a guess from the size, or, as published, from where tracks are.
            size: (width, height) of the image; None where K is given and it is not known.

        Returns:
            A scene in a unit of its own whose world is the first camera. `tracks_3d.motion` is 0.5 where a point strays 3 px from
            a still one's path. Points that are never seen are NaN, frames without any point not registered.

        Raises:
            UserError: too few frames, tracks or intrinsics that cannot be.
        """
        return as_scene(self.lift(tracks, K, size), tracks)

    def lift(self, tracks: Tracks2D, K: ArrayLike | None = None, size: tuple[int, int] | None = None) -> NetworkLift:
        """What `infer` makes a scene of, as numbers for an adjustment to start from. Arguments and errors as there."""
        given = checked_tracks(tracks, K, size, published=self.parity)
        with torch.inference_mode():
            found = self(torch.from_numpy(given.normalised)[None].to(self.fc1.weight.device))
        return as_lift({name: value[0].float().cpu().numpy() for name, value in found.items()}, given)

    def _check(self, tracks: Tensor) -> None:
        if tracks.ndim != 4 or tracks.shape[2] != 3:  # noqa: PLR2004  (x, y, seen)
            raise UserError(f"The tracks have shape {tuple(tracks.shape)}, but (b, P, 3, N) is needed.")
        points, frames = tracks.shape[1], tracks.shape[3]
        least = max(LEAST_FRAMES, self.shape.kernel // 2) if self.parity else LEAST_FRAMES
        if frames < least:
            raise UserError(f"The tracks have {frames} frames, but TracksTo4D needs at least {least}.")
        if not 1 <= points <= MOST_TRACKS:
            raise UserError(f"{points} tracks came, but TracksTo4D takes 1 to {MOST_TRACKS} at once; choose some of them.")


def _mean(x: Tensor, seen: Tensor | None, *, over: int) -> Tensor:
    """Mean of (b, N, P, C) over an axis, of seen tokens only; of all where none is."""
    if seen is None:
        return x.mean(over)
    weight = (seen | ~seen.any(over, keepdim=True))[..., None].to(x.dtype)
    return (x * weight).sum(over) / weight.sum(over)


def rotation_from_6d(v: Tensor) -> Tensor:
    """(..., 6) to rotations (..., 3, 3) whose first two rows are the first and the second three numbers, made orthonormal in turn."""
    a = functional.normalize(v[..., :3], dim=-1)
    b = functional.normalize(v[..., 3:] - (a * v[..., 3:]).sum(-1, keepdim=True) * a, dim=-1)
    return torch.stack([a, b, torch.linalg.cross(a, b)], dim=-2)


def _geometry(camera: Tensor, point: Tensor, shape: NetworkShape, *, detach: bool) -> dict[str, Tensor]:
    """What the heads' numbers (b, N, 12 + K) and (b, P, 3 K + 1) mean."""
    k = shape.bases
    t = camera[..., :3]
    focal = 1 + FOCAL_STEP * camera[..., 3] if shape.focal else torch.ones_like(camera[..., 3])
    coef = torch.cat([torch.ones_like(camera[..., :1]), camera[..., 5 : 4 + k]], dim=-1)
    R = rotation_from_6d(camera[..., 4 + k : 10 + k])
    B = point[..., : 3 * k].unflatten(-1, (3, k))
    gamma = functional.elu(point[..., 3 * k]) + 1 + LEAST_MOTION
    still = B[..., 0][:, None].expand(-1, camera.shape[1], -1, -1)  # (b, N, P, 3)
    X = (still.detach() if detach else still) + torch.einsum("bnk,bpck->bnpc", coef[..., 1:], B[..., 1:])
    Xcam = torch.einsum("bnij,bnpi->bnpj", R.detach() if detach else R, X - (t.detach() if detach else t)[:, :, None])
    Xcam_static = torch.einsum("bnij,bnpi->bnpj", R, still - t[:, :, None])

    def projected(xyz: Tensor) -> Tensor:
        return (focal[:, :, None, None] * xyz[..., :2] / xyz[..., 2:].clamp(min=NEAREST_DEPTH)).transpose(2, 3)

    return {
        "R": R, "t": t, "focal": focal, "B": B, "coef": coef.transpose(1, 2), "gamma": gamma,
        "X": X.transpose(2, 3), "X_static": still.transpose(2, 3), "Xcam": Xcam.transpose(2, 3),
        "depth": Xcam[..., 2], "depth_static": Xcam_static[..., 2],
        "uv": projected(Xcam), "uv_static": projected(Xcam_static),
    }  # fmt: skip
