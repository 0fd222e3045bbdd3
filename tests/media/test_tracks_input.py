"""Files of 2D tracks by anybody's tracker: one meaning whatever their names, and a sentence where something is missing."""

# pyright: reportArgumentType=false, reportCallIssue=false
import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.media.inspection import inspect
from toolkit.media.npz import NpzReader
from toolkit.media.tracks_input import is_tracks_npz, load_tracks_input

COUNT, FRAMES, SIZE = 12, 5, (200, 100)
K = np.array([[180.0, 0, 100], [0, 180, 50], [0, 0, 1]])


@pytest.fixture
def made():
    rng = np.random.default_rng(0)
    xy = rng.uniform(5, 95, (COUNT, FRAMES, 2)).astype(np.float32)
    xy[0, 0] = (199.5, 99.5)
    visible = rng.uniform(size=(COUNT, FRAMES)) > 0.2
    visible[0, 0] = True
    return xy, visible


def named(style, xy, visible):
    """The same tracks as one tracker or another would write them."""
    if style == "ours":
        return {"xy": xy, "visible": visible, "size": np.array(SIZE)}
    if style == "cotracker":
        chance = np.where(visible, 0.9, 0.2).astype(np.float32)
        return {"pred_tracks": xy.swapaxes(0, 1)[None], "pred_visibility": chance.T[None], "size": np.array(SIZE)}
    if style == "tapir":
        return {"tracks": xy, "visibles": visible, "size": np.array(SIZE)}
    return {"points": xy / np.array(SIZE, np.float32), "occluded": ~visible, "video": np.zeros((FRAMES, SIZE[1], SIZE[0], 3), np.uint8)}


@pytest.mark.parametrize("style", ["ours", "cotracker", "tapir", "tap-vid"])
def test_tracks_mean_the_same_by_whatever_names(tmp_path, made, style):
    xy, visible = made
    np.savez(tmp_path / "a.npz", **named(style, xy, visible))
    found = load_tracks_input(tmp_path / "a.npz")
    np.testing.assert_allclose(found.tracks.xy, xy, atol=1e-4)
    np.testing.assert_array_equal(found.tracks.visible, visible)
    assert found.size == SIZE and found.K is None and not found.notes
    assert (found.pictures is None) == (style != "tap-vid")
    source = inspect(tmp_path / "a.npz")
    assert (source.kind, source.frames, source.size, source.details["tracks"]) == ("tracks", FRAMES, SIZE, COUNT)
    assert source.estimate["normal"].seconds > 0 and str(source) == "2D tracks, 5 frames, 200 x 100"


def test_a_published_file_of_tracksto4d_is_read(golden):
    found = load_tracks_input(golden / "tracksto4d" / "toy_sequence.npz")
    with np.load(golden / "tracksto4d" / "toy_sequence.npz") as file:
        assert np.array_equal(found.tracks.xy[7, 3], file["pred_tracks"][0, 3, 7]) or "Ks_all" in file
        np.testing.assert_array_equal(found.tracks.visible, file["pred_visibility"][0].T)
        np.testing.assert_array_equal(found.tracks.queries[:, 0], file["started_at"][0, 0])
        np.testing.assert_allclose(found.K, file["Ks_all"][0])


def test_where_tracks_were_asked_for_is_kept_in_either_order(tmp_path, made):
    xy, visible = made
    start = np.arange(COUNT) % FRAMES
    asked = np.column_stack([start, xy[np.arange(COUNT), start]])
    for name, order in (("queries", [0, 1, 2]), ("query_points", [0, 2, 1])):
        np.savez(tmp_path / "a.npz", **named("ours", xy, visible), **{name: asked[:, order]})
        np.testing.assert_allclose(load_tracks_input(tmp_path / "a.npz").tracks.queries, asked, atol=1e-4)


def test_frames_of_several_lenses_are_brought_to_that_of_the_first(tmp_path, made):
    xy, visible = made
    zoom = np.linspace(1, 1.5, FRAMES)[:, None, None] * np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]]) * K + K * [
        [0, 0, 1],
        [0, 0, 1],
        [0, 0, 1],
    ]
    seen = (xy - [100, 50]) * np.linspace(1, 1.5, FRAMES)[:, None] + [100, 50]
    np.savez(tmp_path / "a.npz", xy=seen, visible=visible, Ks_all=zoom, size=np.array(SIZE))
    found = load_tracks_input(tmp_path / "a.npz")
    np.testing.assert_allclose(found.tracks.xy, xy, atol=1e-3)
    np.testing.assert_allclose(found.K, K)


def test_a_picture_whose_size_is_not_told_is_taken_as_its_lens_or_tracks_say_and_that_is_told(tmp_path, made):
    xy, visible = made
    np.savez(tmp_path / "a.npz", xy=xy, visible=visible)
    found = load_tracks_input(tmp_path / "a.npz")
    assert found.size == (200, 100) and "as far as its tracks reach" in found.notes[0]
    np.savez(tmp_path / "a.npz", xy=xy, visible=visible, K=K)
    found = load_tracks_input(tmp_path / "a.npz")
    assert found.size == SIZE and "twice the middle of K" in found.notes[0]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"xy": None}, "a.npz holds no 2D tracks"),
        ({"visible": None}, r"a.npz has coordinates \(xy\), but not who is seen"),
        ({"xy": np.zeros((12, 5, 3))}, r"'xy' in a.npz is float64 of shape \(12, 5, 3\), but numbers of shape \(N, T, 2\)"),
        ({"xy": np.zeros((0, 5, 2))}, r"of shape \(0, 5, 2\)"),
        ({"visible": np.ones((5, 12), bool)}, r"of shape \(5, 12\), but \(12, 5\) is needed for 12 tracks through 5 frames"),
        ({"size": np.array([200, 100, 3])}, r"'size' in a.npz must be \(width, height\)"),
        ({"K": np.eye(4)}, r"'K' in a.npz is float64 of shape \(4, 4\), but \(3, 3\) or \(5, 3, 3\)"),
        ({"K": np.full((3, 3), np.nan)}, "'K' in a.npz is .*nan"),
        ({"xy": np.full((12, 5, 2), np.nan)}, "None of the 12 tracks in a.npz is ever seen at a finite place"),
        ({"xy": np.full((12, 5, 2), 0.5), "size": None}, r"shares of the picture \(0 to 1\), so its size is needed"),
        (
            {"video": np.zeros((4, 9, 9, 3), np.uint8)},
            r"'video' in a.npz is uint8 of shape \(4, 9, 9, 3\), but uint8 of shape \(5, H, W, 3\)",
        ),
        ({"video": np.zeros((5, 9, 9, 3), np.uint8)}, "'size' in a.npz is 200 x 100, but its 'video' is 9 x 9"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_told_in_a_sentence(tmp_path, made, change, sentence):
    arrays = {k: v for k, v in (named("ours", *made) | change).items() if v is not None}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError, match=sentence):
        load_tracks_input(tmp_path / "a.npz")


def test_other_arrays_are_no_tracks_and_what_would_be_is_told(tmp_path):
    np.savez(tmp_path / "a.npz", points=np.zeros((40, 3)), colours=np.zeros((40, 3)))
    with NpzReader(tmp_path / "a.npz") as file:
        assert not is_tracks_npz(file)
    with pytest.raises(UserError, match=r"nor 2D tracks \(coordinates as xy \(N, T, 2\)"):
        inspect(tmp_path / "a.npz")
