"""Recorded motion of people, before a floor and a wall, seen by a pinhole camera that walks by."""

# pyright: reportOptionalMemberAccess=false

import numpy as np
import pytest

import toolkit as tk
from toolkit.evaluation import tracks_3d

K = np.array([[600.0, 0, 320], [0, 600.0, 240], [0, 0, 1]])
SIZE, FRAMES = (640, 480), 40


def moving_body(shape_m):
    """(T, P, 3) body in metres, y down, its lowest point on the floor at y = 1.2, 4 m ahead."""
    shape = shape_m - np.append(shape_m[..., :2].mean((0, 1)), shape_m[..., 2].min())
    return np.stack([shape[..., 0], 1.2 - shape[..., 2], 4 + shape[..., 1]], axis=-1)


def seen_by_a_walking_camera(body, seed=0):
    """Tracks of the body and of 90 points of a floor and a wall, with half a pixel of noise; the truth; the camera's centres."""
    rng = np.random.default_rng(seed)
    floor = np.column_stack([rng.uniform(-2.5, 2.5, 50), np.full(50, 1.2), rng.uniform(2.5, 7, 50)])
    wall = np.column_stack([rng.uniform(-3, 3, 40), rng.uniform(-1.5, 1.0, 40), np.full(40, 7.0)])
    X = np.concatenate([body, np.repeat(np.concatenate([floor, wall])[None], FRAMES, 0)], axis=1)
    time = np.linspace(0, 1, FRAMES)
    centres = np.column_stack([1.2 * (time - 0.5), 0.03 * np.sin(9 * time), 0.3 * time])
    Y = X - centres[:, None]
    xy = Y[..., :2] / Y[..., 2:] * 600 + K[:2, 2] + rng.normal(0, 0.5, Y[..., :2].shape)
    inside = np.asarray(((xy > 0) & (xy < SIZE)).all(-1)).T
    xy = xy.swapaxes(0, 1).astype(np.float32)
    first = np.argmax(inside, 1)
    queries = np.column_stack([first, xy[np.arange(len(xy)), first]]).astype(np.float32)
    return tk.Tracks2D(xy, inside, np.ones(inside.shape, np.float32), queries), X.swapaxes(0, 1), centres


def nearest_to_rays(tracks, centres):
    """(N, 3) points nearest to all rays that see them: where each would be if it stood still."""
    rays = np.concatenate([(tracks.xy - K[:2, 2]) / 600, np.ones((*tracks.visible.shape, 1))], axis=-1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    across = (np.eye(3) - rays[..., :, None] * rays[..., None, :]) * tracks.visible[..., None, None]
    return np.linalg.solve(across.sum(1), np.einsum("ntij,tj->ni", across, centres)[..., None])[..., 0]


def errors_m(body):
    """Error of the points of the body, in metres after one scale: ours; and that of a rigid scene seen by the true cameras."""
    tracks, X, centres = seen_by_a_walking_camera(body)
    found = tk.reconstruct_tracks(tracks, K, size=SIZE)
    of_body = np.arange(body.shape[1])
    true = X - centres[0]
    seen = tracks.visible[of_body]
    ours = tracks_3d(found.tracks_3d.xyz[of_body], true[of_body], seen)
    rigid = np.repeat(nearest_to_rays(tracks.select(of_body), centres)[:, None] - centres[0], FRAMES, 1)
    assert found.cameras.registered.all()
    return ours["EPE"], tracks_3d(rigid, true[of_body], seen)["EPE"], found.tracks_3d.motion[of_body]


def of_benchmark(file):
    S = np.load(file)["S"]
    shape = S.reshape(len(S) // 3, 3, -1).swapaxes(1, 2)
    return moving_body(shape[np.linspace(0, len(shape) - 1, FRAMES).astype(int)])


def of_bvh(file, first=0, last=None):
    """(F, joints, 3) positions of the joints of a BVH file, z up, in units of its own."""
    offsets, parents, channels, stack, rows = [], [], [], [], []
    lines = iter(file.read_text().split("\n"))
    for line in lines:
        word = line.split()
        if not word:
            continue
        if word[0] in ("ROOT", "JOINT"):
            parents.append(stack[-1] if stack else -1)
            stack.append(len(parents) - 1)
            offsets.append(None)
            channels.append([])
        elif word[0] == "End":
            stack.append(stack[-1])
        elif word[0] == "OFFSET" and offsets[stack[-1]] is None:
            offsets[stack[-1]] = [float(v) for v in word[1:]]
        elif word[0] == "CHANNELS":
            channels[stack[-1]] = word[2:]
        elif word[0] == "}":
            stack.pop()
        elif word[0] == "Frame" and word[1] == "Time:":
            rows = [np.array(row.split(), float) for row in lines if row.strip()]
    chosen = np.array(rows)[np.linspace(first, (last or len(rows)) - 1, FRAMES).astype(int)]
    out = np.zeros((FRAMES, len(parents), 3))
    for t, row in enumerate(chosen):
        turns, at = [], 0
        for joint, (parent, names) in enumerate(zip(parents, channels, strict=True)):
            place, turn = np.array(offsets[joint]), np.eye(3)
            for name, value in zip(names, row[at : at + len(names)], strict=True):
                axis = "XYZ".index(name[0])
                if name.endswith("position"):
                    place[axis] = value if parent < 0 else place[axis] + value
                else:
                    a, b = (axis + 1) % 3, (axis + 2) % 3
                    part = np.eye(3)
                    part[[a, b], [a, b]] = np.cos(np.radians(value))
                    part[b, a], part[a, b] = np.sin(np.radians(value)), -np.sin(np.radians(value))
                    turn = turn @ part
            at += len(names)
            out[t, joint] = place if parent < 0 else out[t, parent] + turns[parent] @ place
            turns.append(turn if parent < 0 else turns[parent] @ turn)
    return out[..., [0, 2, 1]] * [1, -1, 1]


@pytest.mark.data
@pytest.mark.parametrize("name", ["yoga", "pickup", "stretch"])
def test_people_that_move_where_they_stand_are_placed_better_than_a_rigid_scene_would(data, name):
    ours, rigid, motion = errors_m(of_benchmark(data / "nrsfm_benchmarks" / f"{name}.npz"))
    assert ours < 0.3 and ours < rigid
    assert (motion > 0.5).mean() > 0.8


@pytest.mark.data
def test_a_person_who_climbs_is_placed_better_than_a_rigid_scene_would(data):
    """By 43 to 44 % with three different noises: there is not much room below the 40 % asked for here."""
    joints = of_bvh(data / "mocap_cmu" / "01_01.bvh", 0, 400)
    ours, rigid, motion = errors_m(moving_body(joints * 1.6 / np.median(np.ptp(joints[..., 2], axis=1))))
    assert ours < 0.3 and ours < 0.6 * rigid
    assert (motion > 0.5).mean() > 0.8


@pytest.mark.data
def test_a_car_that_passes_a_walking_camera_is_placed_better_than_if_the_truth_stood_still(data):
    """A released clip, left eye alone; beside its tracks' true means over time, which know all but the motion."""
    clip = data / "stereo4d_clips" / "dev" / "9F_CaOaT9Xg_642409076"
    file, T_cw = np.load(clip.with_suffix(".npz")), np.load(clip.with_suffix(".pnp_w2c.npz"))["w2c"]
    visible, xyz = file["vis3d"], file["pts3d"].astype(float)
    rows = np.flatnonzero(visible[:, 0])[::6]
    queries = np.column_stack([np.zeros(len(rows)), file["tracks2d"][0, rows].astype(float)])
    lens = np.array([[443.4, 0, 256], [0, 443.4, 256], [0, 0, 1]])
    found = tk.run(clip.with_suffix(".mp4"), "tracksto4d", preset="draft", queries=queries, K=lens, progress=lambda e: None)
    true = xyz[rows] @ T_cw[0, :3, :3].T + T_cw[0, :3, 3]
    true, seen = true[:, : found.frames], visible[rows, : found.frames]
    mean = np.repeat(np.where(seen[..., None], true, 0).sum(1, keepdims=True) / seen.sum(1)[:, None, None], found.frames, 1)
    assert found.cameras.registered.all()
    for align in ("median_scale", "sim3"):
        ours, still = (tracks_3d(p, true, seen, align=align)["APD"] for p in (found.tracks_3d.xyz, mean))
        assert ours > still + 2, align
    path = tk.evaluation.cameras(found.cameras, tk.Cameras.from_poses(lens, np.linalg.inv(T_cw[: found.frames]), (512, 512)))
    assert path["ate"] < 0.03
