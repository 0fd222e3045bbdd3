"""Examples can be made by name and stored with their truth."""

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.geometry.poses import transform
from toolkit.geometry.sampling import sample_bilinear
from toolkit.media.inspection import inspect
from toolkit.synthetic import example, true_visibility, write_example


def test_an_unknown_example_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r'no example "ocean"; there are street, room, handheld, ring'):
        example("ocean")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="0 frames"):
        example("room", frames=0)


def test_a_stored_example_is_a_video_and_plain_arrays(tmp_path):
    written = []
    paths = write_example(
        tmp_path / "new",
        "street",
        writer=lambda path, frames, fps: written.append((path, frames.shape, fps)),
        frames=2,
        size=(64, 64),
        eye_size=(64, 64),
        grid=(4, 4),
    )
    assert written == [(paths["video"], (2, 64, 128, 3), 30.0)]
    with np.load(paths["truth"]) as truth:
        assert truth["T_wc"].shape == (2, 4, 4) and truth["tracks_xyz_w"].shape == (16, 2, 3)
        assert truth["depth_mm"].dtype == np.uint16 and truth["baseline_m"] == 0.063
        assert "walker" in truth["object_names"]
    assert [p.name for p in sorted((tmp_path / "new").iterdir())] == ["street.truth.npz"]


def test_the_library_writes_the_video_itself(tmp_path):
    pytest.importorskip("av")
    paths = write_example(tmp_path, "room", frames=2, size=(64, 64), grid=(2, 2))
    assert paths["video"].stat().st_size > 1000


@pytest.mark.parametrize("name", ["street", "room"])
@pytest.mark.parametrize("layout", ["side-by-side", "top-bottom"])
def test_a_stored_pair_says_what_it_is(tmp_path, name, layout):
    source = inspect(write_example(tmp_path, name, frames=2, size=(64, 64), eye_size=(64, 64), grid=(2, 2), layout=layout)["video"])
    assert (source.layout, source.details["layout_from"]) == (layout, "metadata")
    if name == "street":
        assert (source.kind, source.details["fov_bounds_deg"]) == ("vr180", [-90, 90, -90, 90])
        assert not any("does not say" in warning for warning in source.warnings)
        # Metadata tells the edges of the picture, and the truth the same.
        with np.load(tmp_path / "street.truth.npz") as truth:
            assert truth["fov_bounds_deg"].tolist() == [-90, 90, -90, 90] and truth["bounds_on"] == "edges"


def test_four_cameras_see_the_same_stage():
    clip = example("ring", frames=2, size=(96, 80))
    assert clip.views is not None and len(clip.views.views) == 4 and clip.views.depth_m is not None
    tracks = clip.tracks(grid=(24, 20))
    near = np.linalg.norm(tracks.xyz_w[:, 0] - clip.world.T_ws[:3, 3], axis=1) < 2.5  # Around the middle of the stage.
    for v, cameras in enumerate(clip.views.cameras):
        xy, visible = true_visibility(clip.world, cameras, clip.video.times_s, tracks.xyz_w)
        assert visible[near].mean() > 0.4
        z = transform(cameras.T_cw[0], tracks.xyz_w[visible[:, 0], 0])[:, 2]
        under = 1 / sample_bilinear(1 / clip.views.depth_m[v][0], xy[visible[:, 0], 0])
        assert np.nanmedian(np.abs(under / z - 1)) < 1e-4


def test_every_view_is_stored(tmp_path):
    written = []
    paths = write_example(
        tmp_path, "ring", writer=lambda path, frames, fps: written.append(path.name), frames=1, size=(32, 32), grid=(2, 2)
    )
    assert written == ["ring.0.mp4", "ring.1.mp4", "ring.2.mp4", "ring.3.mp4"] and set(paths) == {
        *(f"video.{i}" for i in range(4)),
        "truth",
    }
    with np.load(paths["truth"]) as truth:
        assert truth["views_T_wc"].shape == (4, 1, 4, 4)


def test_noise_has_the_level_asked_for_and_leaves_the_truth():
    clean, noisy = (example("room", frames=1, size=(96, 96), noise=level) for level in (0.0, 3.0))
    change = noisy.video.frames.astype(float) - clean.video.frames
    middle = (clean.video.frames > 15) & (clean.video.frames < 240)  # Away from clipping.
    assert abs(change[middle].mean()) < 0.1 and change[middle].std() == pytest.approx(3.0, abs=0.1)
    np.testing.assert_array_equal(noisy.depth_m, clean.depth_m)


@pytest.mark.parametrize("name", ["street", "room"])
def test_the_truth_is_a_scene(name):
    clip = example(name, frames=2, size=(64, 64), eye_size=(64, 64))
    scene = clip.truth(grid=(8, 8))
    assert scene.frames == 2 and scene.unit == "metre" and scene.tracks_3d is not None and scene.depth is not None
    assert np.isfinite(scene.tracks_3d.xyz).all() and 0 < len(scene.tracks_3d) <= 64
    assert (scene.video is None) == (name == "street")
