"""A small scene with known geometry: a textured room, a ball that moves through it, a camera that moves and turns."""

import numpy as np
from scipy.spatial.transform import Rotation

from toolkit.geometry.cameras import intrinsics_from_fov, project
from toolkit.geometry.sampling import pixel_centres
from toolkit.scene import Cameras, DepthVideo, PointCloud, Scene, Tracks2D, Tracks3D, Video

BALL_RADIUS_M = 0.45
# (axis, value) of the room's walls: left, right, ceiling, floor, back, front (behind the camera).
WALLS = ((0, -2.5), (0, 2.5), (1, -1.5), (1, 1.2), (2, 6.0), (2, -2.0))


def ball_centre(share: np.ndarray) -> np.ndarray:
    """Where the ball is at a share 0..1 of the clip, (T, 3)."""
    return np.stack([-1.2 + 2.4 * share, 0.3 - 0.6 * np.sin(np.pi * share), 3.0 + 0.5 * share], axis=-1)


def room_scene(frames: int = 10, size: tuple[int, int] = (96, 64), tracks: int = 300, *, fps: float = 25.0, seed: int = 0) -> Scene:
    """The scene with every part filled; depth has a square hole, a tenth of the tracks belongs to the ball."""
    rng = np.random.default_rng(seed)
    share = np.linspace(0, 1, frames)
    K = intrinsics_from_fov(60, size)
    T_wc = np.tile(np.eye(4), (frames, 1, 1))
    T_wc[:, :3, :3] = Rotation.from_euler("YX", np.stack([12 * (share - 0.5), 3 * np.sin(4 * share)], 1), degrees=True).as_matrix()
    T_wc[:, :3, 3] = np.stack([0.8 * (share - 0.5), 0.05 * np.sin(6 * share), 0.6 * share], 1)
    cameras = Cameras.from_poses(K, T_wc, size)
    centres = ball_centre(share)

    rays_c = np.concatenate([(pixel_centres(size) - K[:2, 2]) / np.diag(K)[:2], np.ones((size[1], size[0], 1))], -1)
    depth = np.empty((frames, size[1], size[0]), np.float32)
    pixels = np.empty((frames, size[1], size[0], 3), np.uint8)
    for t in range(frames):
        rays = rays_c @ T_wc[t, :3, :3].T
        z, on_ball = _first_hit(T_wc[t, :3, 3], rays, centres[t])
        depth[t] = z
        pixels[t] = _texture(T_wc[t, :3, 3] + rays * z[..., None] - on_ball[..., None] * centres[t], on_ball)

    # Queries on the pixels of a few frames; points on the ball travel with it.
    per = tracks - tracks // 10
    when = rng.integers(0, frames, per)
    xy0 = rng.uniform([1, 1], [size[0] - 1, size[1] - 1], (per, 2))
    column, row = xy0.astype(int).T
    rays = np.einsum("nij,nj->ni", T_wc[when, :3, :3], rays_c[row, column])
    start = T_wc[when, :3, 3] + rays * depth[when, row, column][:, None]
    on_ball = np.linalg.norm(start - centres[when], axis=1) < BALL_RADIUS_M * 1.01
    outward = rng.normal(size=(tracks - per, 3))
    outward[:, 2] = -np.abs(outward[:, 2])
    outward *= BALL_RADIUS_M / np.linalg.norm(outward, axis=1, keepdims=True)
    offset = np.concatenate([np.where(on_ball[:, None], start - centres[when], start), outward])
    moves = np.concatenate([on_ball, np.ones(tracks - per, bool)])
    xyz = offset[:, None] + moves[:, None, None] * centres[None]
    xy, z = project(xyz, cameras.K, cameras.T_wc)
    column, row = (np.clip(np.nan_to_num(xy[..., i]).astype(int), 0, size[i] - 1) for i in (0, 1))
    seen = depth[np.arange(frames)[None], row, column]
    inside = (xy > 0).all(-1) & (xy < np.asarray(size)).all(-1)
    visible = inside & (np.abs(seen - z) < 0.08 * z)

    depth[:, 2 : size[1] // 6, 2 : size[0] // 6] = np.nan
    first = visible.argmax(1)
    queries = np.concatenate([first[:, None], xy[np.arange(tracks), first]], 1)
    rgb = pixels[first, row[np.arange(tracks), first], column[np.arange(tracks), first]]
    return Scene(
        cameras=cameras,
        tracks_2d=Tracks2D(xy.astype(np.float32), visible, visible * np.float32(0.9), queries.astype(np.float32)),
        tracks_3d=Tracks3D(np.where(visible[..., None], xyz, np.nan).astype(np.float32), visible, rgb, moves.astype(np.float32)),
        depth=DepthVideo(depth, np.isfinite(depth).astype(np.float32)),
        points=PointCloud(start[~on_ball].astype(np.float32), rgb[:per][~on_ball]),
        method="stereo4d",
        report={"settings": {"preset": "normal"}, "seed": seed},
        video=Video.from_frames(pixels, fps),
    )


def _first_hit(origin: np.ndarray, rays: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ray parameter of the first surface, and whether it is the ball."""
    best = np.full(rays.shape[:2], np.inf)
    for axis, value in WALLS:
        with np.errstate(divide="ignore"):
            s = (value - origin[axis]) / rays[..., axis]
        best = np.where((s > 1e-6) & (s < best), s, best)
    a, b, c = (rays**2).sum(-1), rays @ (origin - centre), ((origin - centre) ** 2).sum() - BALL_RADIUS_M**2
    root = b**2 - a * c
    s = (-b - np.sqrt(np.maximum(root, 0))) / a
    on_ball = (root > 0) & (s > 0) & (s < best)
    return np.where(on_ball, s, best), on_ball


def _texture(xyz: np.ndarray, on_ball: np.ndarray) -> np.ndarray:
    """Checks and waves: grey-blue on the walls, orange on the ball."""
    checks = (np.floor(xyz * 2.0 + 1e-3).sum(-1) % 2) * 0.25
    waves = 0.12 * np.sin(xyz @ [7.0, 3.0, 5.0]) + 0.08 * np.sin(xyz @ [-13.0, 17.0, 11.0])
    light = 0.55 + checks + waves
    tint = np.where(on_ball[..., None], [1.0, 0.55, 0.2], [0.62, 0.72, 0.85])
    return np.clip(255 * light[..., None] * tint, 0, 255).astype(np.uint8)
