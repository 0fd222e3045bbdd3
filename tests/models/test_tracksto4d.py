"""TracksTo4D against outputs of the published implementation, and where it leaves its faults behind."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from toolkit.errors import UserError
from toolkit.geometry.cameras import project
from toolkit.models.checkpoints import count_of
from toolkit.models.track_encoder import fourier_features, time_code
from toolkit.models.tracksto4d import MOST_TRACKS, NetworkShape, TracksTo4D, rotation_from_6d
from toolkit.scene import Tracks2D

SMALL = NetworkShape(width=32, pairs=2, heads=4, inner=48, hidden=64, bases=6, frequencies=4, kernel=9)
EXACT = ("R", "t", "B", "gamma", "coef", "X", "X_static", "depth", "depth_static", "Xcam")


@pytest.fixture(scope="module")
def golden_net(golden):
    with np.load(golden / "tracksto4d" / "net_w64.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def published():
    """The weights of the golden outputs: those of a new network."""
    torch.manual_seed(1)
    return TracksTo4D(NetworkShape(width=64), parity=True).eval()


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    network = TracksTo4D(SMALL).eval()
    network.start_at_canonical_pose()
    return network


def some_tracks(*, points=20, frames=12, seed=0, hidden=0.3, batch=1):
    rng = np.random.default_rng(seed)
    xy = rng.normal(size=(batch, points, 2, frames)) * 0.3
    seen = rng.uniform(size=(batch, points, 1, frames)) > hidden
    return torch.from_numpy(np.concatenate([xy, seen], 2).astype(np.float32))


@torch.inference_mode()
def answers(network, tracks):
    return network(tracks)


def test_a_new_network_of_the_same_seed_is_the_published_one(published, golden):
    state = published.state_dict()
    assert len(state) == 82
    digest = hashlib.sha256(b"".join(state[name].numpy().tobytes() for name in sorted(state))).hexdigest()
    assert digest == (golden / "tracksto4d" / "weights.sha256").read_text().strip()


def test_the_published_size_has_as_many_weights_as_the_published_files():
    with torch.device("meta"):
        assert count_of(TracksTo4D(parity=True)) == 12_826_325


def test_every_output_is_as_published(published, golden_net):
    found = answers(published, torch.from_numpy(golden_net["tracks"]))
    for name in EXACT:
        wanted = golden_net[f"out_{name}"]
        assert found[name].shape == wanted.shape and np.abs(found[name].numpy() - wanted).max() <= 1e-5, name
    for name in ("uv", "uv_static"):
        # New weights put points beside the camera's plane, where projections are long and only their share of error tells.
        wanted = golden_net[f"out_{name}"]
        apart = np.linalg.norm(found[name].numpy() - wanted, axis=2) / np.linalg.norm(wanted, axis=2)
        assert apart.max() <= 1e-4, name


def test_the_parts_are_as_published(golden):
    with np.load(golden / "tracksto4d" / "io_and_primitives.npz") as file:
        given = torch.from_numpy(file["fourier_in"])
        features = fourier_features(given, len(file["fourier_freqs"]))
        assert torch.equal(features[:, :3], given)
        assert np.abs(features[:, 3:].numpy() - file["fourier_out"]).max() <= 1e-5
        assert np.abs(rotation_from_6d(torch.from_numpy(file["vec6d_in"])).numpy() - file["vec6d_R"]).max() <= 1e-6
        assert np.abs(time_code(33, 256, given).numpy() - file["sincos_33x256"]).max() <= 1e-5


@pytest.mark.parametrize("shape", [SMALL, NetworkShape(width=64, pairs=1, inner=64, hidden=32, kernel=5, focal=True)])
def test_the_shape_is_read_from_the_file(shape, tmp_path, capsys):
    network = TracksTo4D(shape)
    save_file(network.state_dict(), tmp_path / "own.safetensors")
    loaded = TracksTo4D.from_pretrained(tmp_path / "own.safetensors")
    assert loaded.shape == shape
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert "NVIDIA" not in capsys.readouterr().err
    tracks = some_tracks(frames=16)
    assert torch.equal(answers(loaded, tracks)["X"], answers(network.eval(), tracks)["X"])


def test_a_published_checkpoint_is_read_and_its_licence_told(published, golden_net, tmp_path, capsys):
    torch.save(
        {"epoch": 3, "model_state_dict": published.state_dict(), "optimizer_state_dict": {"state": {}}, "loss": 0.1}, tmp_path / "cats.pt"
    )
    for parity in (True, False):
        network = TracksTo4D.from_pretrained(tmp_path / "cats.pt", parity=parity)
        assert network.shape == NetworkShape(width=64) and network.parity is parity
        assert "CC BY-NC 4.0" in capsys.readouterr().err
    found = answers(TracksTo4D.from_state_dict(published.state_dict(), parity=True), torch.from_numpy(golden_net["tracks"]))
    assert np.abs(found["t"].numpy() - golden_net["out_t"]).max() <= 1e-5


def test_files_of_something_else_are_refused(tmp_path):
    with pytest.raises(UserError, match="There is no file 'cats.pt'; give the path of a checkpoint of TracksTo4D"):
        TracksTo4D.from_pretrained("cats.pt")
    save_file({"conv.weight": torch.zeros(3)}, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match=r"These are not the weights of TracksTo4D: fc1.weight .* it holds conv.weight, for instance"):
        TracksTo4D.from_pretrained(tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="no revision 'main' of them"):
        TracksTo4D.from_pretrained(tmp_path / "x.safetensors", revision="main")


def test_a_weight_that_is_missing_is_named(small):
    state = {name: value for name, value in small.state_dict().items() if name != "conv_final.bias"}
    with pytest.raises(UserError, match="1 of 60 are missing, the first is conv_final.bias"):
        TracksTo4D.from_state_dict(state)


@pytest.mark.parametrize(("frames", "points"), [(3, 1), (4, 7), (70, 5), (5, 300)])
def test_any_number_of_frames_and_points_is_taken(small, frames, points):
    found = answers(small, some_tracks(frames=frames, points=points))
    assert all(torch.isfinite(value).all() for value in found.values())
    assert found["R"].shape == (1, frames, 3, 3) and found["X"].shape == (1, frames, 3, points)


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ((1, 5, 3, 2), "The tracks have 2 frames, but TracksTo4D needs at least 3"),
        ((1, MOST_TRACKS + 1, 3, 3), f"{MOST_TRACKS + 1} tracks came, but TracksTo4D takes 1 to {MOST_TRACKS} at once"),
        ((1, 0, 3, 3), "0 tracks came"),
        ((5, 3, 8), r"The tracks have shape \(5, 3, 8\), but \(b, P, 3, N\) is needed"),
    ],
)
def test_tracks_that_cannot_be_lifted_are_refused(small, shape, sentence):
    with pytest.raises(UserError, match=sentence):
        small(torch.zeros(shape))


def test_the_published_network_sees_a_clip_as_a_ring_and_needs_half_a_kernel_of_frames(published):
    with pytest.raises(UserError, match="The tracks have 14 frames, but TracksTo4D needs at least 15"):
        published(some_tracks(frames=14))
    features = torch.randn(1, 20, 64, generator=torch.Generator().manual_seed(0))
    rolled = published.camera_head(features.roll(5, dims=1))
    assert torch.allclose(rolled, published.camera_head(features).roll(5, dims=1), atol=1e-5)


def test_the_last_frames_say_nothing_of_the_first_camera_in_our_head(small):
    features = torch.randn(1, 20, 32, generator=torch.Generator().manual_seed(0))
    changed = features.clone()
    changed[:, -4:] += 1
    assert torch.equal(small.camera_head(features)[:, 0], small.camera_head(changed)[:, 0])


def test_what_a_blind_tracker_guesses_says_nothing(small, published):
    tracks = some_tracks(frames=16)
    other = tracks.clone()
    hidden = tracks[:, :, 2] < 0.5
    other[:, :, 0][hidden] = torch.nan
    other[:, :, 1][hidden] = 1e9
    mine, theirs = answers(small, tracks), answers(small, other)
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    other[:, :, 0][hidden] = 1.0
    assert not torch.allclose(answers(published, tracks)["t"], answers(published, other)["t"], atol=1e-4)


def test_tracks_that_are_never_seen_say_nothing_of_the_others(small):
    tracks = some_tracks(points=10)
    padded = torch.cat([tracks, torch.zeros(1, 6, 3, 12)], dim=1)
    whole, alone = answers(small, padded), answers(small, tracks)
    for name, axis in {"R": None, "t": None, "B": 1, "gamma": 1, "X": 3}.items():
        got = whole[name] if axis is None else whole[name].narrow(axis, 0, 10)
        assert torch.allclose(got, alone[name], atol=1e-5), name


def test_points_may_come_in_any_order(small):
    tracks = some_tracks()
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    straight, turned = answers(small, tracks), answers(small, tracks[:, order])
    assert torch.allclose(straight["B"][:, order], turned["B"], atol=1e-5) and torch.allclose(straight["t"], turned["t"], atol=1e-5)


def test_a_frame_without_any_point_leaves_the_others_finite(small):
    tracks = some_tracks()
    tracks[:, :, 2, 5] = 0
    assert all(torch.isfinite(value).all() for value in answers(small, tracks).values())


def test_pieces_give_what_the_whole_gives(small, monkeypatch):
    tracks = some_tracks(points=40, batch=2)
    whole = answers(small, tracks)
    monkeypatch.setattr("toolkit.models.track_encoder.TOKENS_AT_ONCE", 64)
    pieces = answers(small, tracks)
    assert all(torch.allclose(whole[name], pieces[name], atol=1e-5) for name in whole)


def test_a_new_network_looks_at_the_origin(small):
    found = answers(small, some_tracks())
    assert torch.allclose(found["R"], torch.eye(3).expand_as(found["R"]), atol=0.2)
    assert float((found["t"] - torch.tensor([0.0, 0.0, -15.0])).abs().max()) < 1


def pixels(*, points=30, frames=12, seed=0):
    tracks = some_tracks(points=points, frames=frames, seed=seed)[0].numpy()
    xy = tracks[:, :2].transpose(0, 2, 1) * 400 + (256, 192)
    seen = tracks[:, 2] > 0.5
    return Tracks2D(xy.astype(np.float32), seen, seen.astype(np.float32), np.zeros((points, 3), np.float32))


K = np.array([[400.0, 0, 256], [0, 400, 192], [0, 0, 1]])


def test_a_scene_says_what_the_network_says(small):
    tracks = pixels()
    scene = small.infer(tracks, K, (512, 384))
    assert scene.cameras is not None and scene.tracks_3d is not None and scene.unit == "relative" and scene.method == "tracksto4d"
    assert np.allclose(scene.cameras.T_wc[0], np.eye(4)) and scene.cameras.size.tolist() == [[512, 384]] * 12
    given = np.concatenate([(tracks.xy - K[:2, 2]) / 400, tracks.visible[..., None]], -1).transpose(0, 2, 1)
    found = answers(small, torch.from_numpy(given.astype(np.float32))[None])
    xy, depth = project(scene.tracks_3d.xyz.astype(np.float64), scene.cameras.K, scene.cameras.T_wc)
    assert np.abs(depth.T - found["depth"][0].numpy()).max() < 1e-4
    seen = tracks.visible & (depth > 0.1)
    wanted = found["uv"][0].numpy().transpose(2, 0, 1) * 400 + K[:2, 2]
    assert np.abs(xy[seen] - wanted[seen]).max() < 0.05
    lift = small.lift(tracks, K, (512, 384))
    assert np.allclose(lift.xyz, scene.tracks_3d.xyz, atol=1e-4) and lift.still_xyz.shape == (30, 3)
    still_depth = project(np.repeat(lift.still_xyz[:, None], 12, axis=1), lift.K, lift.T_wc)[1]
    assert np.abs(still_depth.T - found["depth_static"][0].numpy()).max() < 1e-4
    strays = found["gamma"][0].numpy() * 400 > 3
    assert np.array_equal(scene.tracks_3d.motion > 0.5, strays)


def test_what_is_not_seen_or_not_finite_is_unknown(small):
    tracks = pixels()
    xy, visible = tracks.xy.copy(), tracks.visible.copy()
    visible[4] = False
    visible[:, 7] = False
    xy[3] = np.nan
    scene = small.infer(Tracks2D(xy, visible, tracks.confidence, tracks.queries), K, (512, 384))
    assert scene.cameras is not None and scene.tracks_3d is not None
    unknown = np.isnan(scene.tracks_3d.xyz).all((1, 2))
    assert np.flatnonzero(unknown).tolist() == [3, 4] and np.isfinite(scene.tracks_3d.xyz[~unknown]).all()
    assert np.flatnonzero(~scene.cameras.registered).tolist() == [7]


def test_a_focal_length_that_was_guessed_is_told(small, published, golden):
    scene = small.infer(pixels(), None, (512, 384))
    assert scene.cameras is not None and scene.cameras.K[0, 0, 0] == pytest.approx(256 / np.tan(np.deg2rad(30)))
    assert scene.report["intrinsics"] == "guessed" and "443" in scene.report["warnings"][0]
    with pytest.raises(UserError, match="Neither K nor the size of the image is known"):
        small.infer(pixels())
    tracks = pixels(frames=16)
    largest = tracks.xy[tracks.visible].max(0)
    theirs = published.infer(tracks).cameras
    assert np.allclose(theirs.K[:, 0, 0], largest.mean()) and np.allclose(theirs.K[:, :2, 2], largest / 2)


@pytest.mark.parametrize(
    ("K", "size", "sentence"),
    [
        (np.eye(3), (512, 384), "all four must be in pixels"),
        (np.zeros((2, 3, 3)), (512, 384), r"K has shape \(2, 3, 3\), but \(3, 3\) or \(12, 3, 3\) is needed"),
        (K, (0, 384), r"The image size is \(0, 384\)"),
    ],
)
def test_cameras_that_cannot_be_are_refused(small, K, size, sentence):
    with pytest.raises(UserError, match=sentence):
        small.infer(pixels(), K, size)


def test_torch_is_imported_only_with_the_network():
    script = "import sys, toolkit as tk; assert 'torch' not in sys.modules; assert tk.TracksTo4D.__doc__; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
