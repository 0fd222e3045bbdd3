"""Photos of a textured corner of a room, with the true cameras: three planes hit by rays, the paint is smoothed noise."""

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from toolkit.scene import Cameras

SIZE = (480, 320)
FOCAL_PX = 430.0
K = np.array([[FOCAL_PX, 0, 240.0], [0, FOCAL_PX, 160.0], [0, 0, 1.0]])


def paint(seed):
    """(1024, 1024, 3) uint8 blotches of many sizes."""
    rng = np.random.default_rng(seed)
    layers = [cv2.resize(rng.normal(size=(n, n, 3)), (1024, 1024), interpolation=cv2.INTER_CUBIC) for n in (16, 64, 160, 320)]
    total = sum(layer * weight for layer, weight in zip(layers, (1.0, 1.0, 0.9, 0.8), strict=True))
    return np.clip(128 + 45 * total, 0, 255).astype(np.uint8)


def cameras(count=6, *, step=0.5, turn_deg=4.0, size=SIZE, lens=K):
    """Cameras on an arc, all towards the corner; with `step` 0 they turn on the spot."""
    T_wc = np.tile(np.eye(4), (count, 1, 1))
    for n in range(count):
        s = n - (count - 1) / 2
        T_wc[n, :3, 3] = [step * s, 0.15 * step * (-1) ** n, -0.05 * step * s * s]
        T_wc[n, :3, :3] = Rotation.from_euler("YX", [-turn_deg * s, 2 * (-1) ** n], degrees=True).as_matrix()
    return Cameras.from_poses(lens, T_wc, size)


def photograph(seen: Cameras, *, planes=3, seed=0, k1=0.0):
    """A list of (H, W, 3) uint8 pictures: of a wall 6 ahead, a floor 1.5 below and a wall 3 to the right, or of the first of these."""
    walls = [(2, 6.0), (1, 1.5), (0, 3.0)][:planes]
    colours = [paint(seed * 10 + n) for n in range(planes)]
    pictures = []
    for t in range(len(seen)):
        width, height = (int(n) for n in seen.size[t])
        x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        u, v = (x - seen.K[t, 0, 2]) / seen.K[t, 0, 0], (y - seen.K[t, 1, 2]) / seen.K[t, 1, 1]
        radius = np.sqrt(u * u + v * v)
        flat = radius.copy()
        for _ in range(20):  # undoes r' = r (1 + k1 r^2)
            flat = radius / (1 + k1 * flat**2)
        grow = np.where(radius > 0, flat / np.maximum(radius, 1e-12), 1)
        rays = np.stack([u * grow, v * grow, np.ones_like(u)], -1) @ seen.T_wc[t, :3, :3].T
        nearest = np.full(u.shape, np.inf)
        picture = np.zeros((height, width, 3), np.uint8)
        for (axis, at), colour in zip(walls, colours, strict=True):
            with np.errstate(divide="ignore", invalid="ignore"):
                distance = (at - seen.T_wc[t, axis, 3]) / rays[..., axis]
            hit = (distance > 0) & (distance < nearest)
            nearest[hit] = distance[hit]
            place = seen.T_wc[t, :3, 3] + rays * np.where(hit, distance, 0)[..., None]
            across = [a for a in range(3) if a != axis]
            where = (place[..., across] * 75 + 512).astype(np.float32)
            shown = cv2.remap(colour, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
            picture[hit] = shown[hit]
        pictures.append(picture)
    return pictures
