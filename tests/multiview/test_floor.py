import cv2
import numpy as np

from toolkit.geometry.cameras import project
from toolkit.multiview.floor import find_floor

SIZE, CELL = (320, 240), 0.02


def rig() -> tuple[np.ndarray, np.ndarray]:
    """Four cameras at 1.5 m above the floor (y = 0, y down), on three quarters of a circle of 4 m, that look down at its middle."""
    poses = []
    for turn in np.deg2rad([0, 80, 160, 250]):
        centre = np.array([4 * np.sin(turn), -1.5, -4 * np.cos(turn)])
        z = -centre / np.linalg.norm(centre) + [0, 0.1, 0]
        z /= np.linalg.norm(z)
        x = np.cross([0, 1.0, 0], z)
        x /= np.linalg.norm(x)
        T_wc = np.eye(4)
        T_wc[:3, :3], T_wc[:3, 3] = np.column_stack([x, np.cross(z, x), z]), centre
        poses.append(T_wc)
    return np.tile([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]], (4, 1, 1)), np.array(poses)


def pictures(K: np.ndarray, T_wc: np.ndarray) -> list[np.ndarray]:
    """What the cameras see of a spotted floor, and of nothing else."""
    rng = np.random.default_rng(0)
    ground = cv2.GaussianBlur(rng.uniform(0, 255, (800, 800, 3)).astype(np.float32), (0, 0), 6)
    ground = np.clip((ground - 127) * 9 + 127, 0, 255).astype(np.float32)
    out = []
    for k, pose in zip(K, T_wc, strict=True):
        corners = np.array([[-8, 0, -8], [8, 0, -8], [8, 0, 8], [-8, 0, 8]]) * 0.2
        there = project(corners, k, pose)[0].astype(np.float32)
        here = ((corners[:, [0, 2]] / CELL) + 400).astype(np.float32)
        H = cv2.getPerspectiveTransform(here, there)
        picture = cv2.warpPerspective(ground, H, SIZE, flags=cv2.INTER_AREA, borderValue=(140, 150, 160))
        out.append(np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8))
    return out


def test_the_floor_is_where_pictures_from_all_sides_show_the_same():
    K, T_wc = rig()
    floor = find_floor(pictures(K, T_wc), K, T_wc)
    assert floor is not None
    assert np.degrees(np.arccos(np.clip(floor.normal @ [0, -1, 0], -1, 1))) < 0.5
    assert np.abs(floor.xyz[:, 1]).max() < 0.03 and len(floor.xyz) > 500


def test_pictures_that_share_no_plane_have_no_floor():
    K, T_wc = rig()
    rng = np.random.default_rng(1)
    noise = [np.asarray(cv2.resize(rng.integers(0, 255, (60, 80, 3)).astype(np.uint8), SIZE), np.uint8) for _ in range(4)]
    assert find_floor(noise, K, T_wc) is None
