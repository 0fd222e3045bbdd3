import cv2
import numpy as np

from toolkit.geometry.cameras import project
from toolkit.multiview.things import follow_thing
from toolkit.multiview.tracking import track_views
from toolkit.multiview.triangulation import projections
from toolkit.scene import Cameras, MultiViewVideo, Video

SIZE, RADIUS, FRAMES = (320, 240), 0.12, 6


def cameras() -> tuple[Cameras, ...]:
    """Three cameras on a quarter of a circle of 3 m, that look at its middle."""
    K = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])
    out = []
    for turn in np.deg2rad([-45, 0, 50]):
        back = np.array([np.sin(turn), 0, np.cos(turn)])
        T_wc = np.eye(4)
        T_wc[:3, :3] = np.column_stack([[back[2], 0, -back[0]], [0, 1, 0], back])
        T_wc[:3, 3] = -3 * back
        out.append(Cameras.from_poses(K, np.tile(T_wc, (FRAMES, 1, 1)), SIZE))
    return tuple(out)


def held_ball(path: np.ndarray) -> MultiViewVideo:
    """A red ball that is dark below, before a textured wall, with a bright bar across its left part in every view."""
    rng = np.random.default_rng(0)
    views = []
    for camera in cameras():
        wall = cv2.resize(rng.uniform(60, 200, (30, 40)).astype(np.float32), SIZE)[..., None] * np.array([0.9, 1.0, 0.85])
        K, T_wc = camera.K[0], camera.T_wc[0]
        grid = np.stack(np.meshgrid(np.arange(2 * SIZE[0]) / 2 + 0.25, np.arange(2 * SIZE[1]) / 2 + 0.25), -1)
        rays = np.concatenate([(grid - K[:2, 2]) / K[0, 0], np.ones((*grid.shape[:2], 1))], -1) @ T_wc[:3, :3].T
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        frames = []
        for place in path:
            to = place - T_wc[:3, 3]
            along = rays @ to
            inside = RADIUS**2 - (to @ to - along**2)
            hit = inside > 0
            normal = (along - np.sqrt(np.maximum(inside, 0)))[..., None] * rays - to
            light = np.clip(0.62 - 0.38 * normal[..., 1] / RADIUS, 0.2, 1)[..., None]
            picture = np.where(hit[..., None], light * np.array([215.0, 60, 50]), cv2.resize(wall, None, fx=2, fy=2))
            frame = cv2.resize(picture.astype(np.float32), SIZE, interpolation=cv2.INTER_AREA)
            x, y = project(place, K, T_wc)[0]
            cv2.line(frame, (int(x - 14), int(y - 2)), (int(x - 4), int(y + 1)), (225.0, 190.0, 160.0), 4)
            frames.append(np.clip(frame + rng.normal(0, 2, frame.shape), 0, 255).astype(np.uint8))
        views.append(Video.from_frames(np.stack(frames), 30.0))
    return MultiViewVideo(tuple(views), cameras())


def test_a_ball_is_followed_by_its_outline_whatever_light_and_hands_do_to_its_colour():
    t = np.arange(FRAMES)[:, None]
    path = np.array([-0.2, -0.1, 0.0]) + t * np.array([0.035, 0.02, -0.02]) + t**2 * np.array([0, 0.002, 0])
    clip = held_ball(path)
    query = np.array([0, *(path[0] + [0.012, -0.008, 0.01])], np.float32)  # nobody points at a middle exactly
    found = follow_thing(clip, query, projections(clip.cameras))
    assert found is not None
    assert abs(found.radius / RADIUS - 1) < 0.03
    error = np.linalg.norm(found.xyz - path, axis=1)
    assert error.mean() < 0.02 * 2 * RADIUS, "two percent of its diameter"
    tracks = track_views(clip, query[None]).tracks_3d
    np.testing.assert_allclose(tracks.xyz[0, 0], query[1:], atol=1e-6)
    assert np.linalg.norm(tracks.xyz[0, 1:] - path[1:], axis=1).mean() < 0.02 * 2 * RADIUS


def test_a_point_of_a_wall_is_no_middle_of_a_ball():
    path = np.tile([0.0, 0.0, 0.0], (FRAMES, 1))
    clip = held_ball(path)
    assert follow_thing(clip, np.array([0, 0.3, 0.2, 0.1], np.float32), projections(clip.cameras)) is None
