"""The method on views in memory: what is left out, what is asked for where, and what bad input gets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import toolkit as tk
from toolkit.errors import UserError
from toolkit.methods import mvtracker_intake
from toolkit.methods.mvtracker import MvtrackerSettings
from toolkit.multiview.calibration_check import RigCheck, Sighted
from toolkit.progress import Progress
from toolkit.scene import MultiViewVideo, Scene, Video
from toolkit.synthetic.rigs import SyntheticRig, filmed_rig


@pytest.fixture(scope="module")
def rig() -> SyntheticRig:
    return filmed_rig(4, frames=8, size=(320, 240), spread_deg=75.0, points=6)


def dark(rig: SyntheticRig, view: int) -> MultiViewVideo:
    """The rig with the cap on one lens."""
    views = list(rig.clip.views)
    views[view] = Video(np.zeros_like(views[view].frames), views[view].times_s)
    return MultiViewVideo(tuple(views), rig.clip.cameras)


def ran(clip: MultiViewVideo, **options: Any) -> Scene:
    return tk.run(clip, surroundings=False, progress=lambda event: None, **options)


def test_a_camera_that_shows_nothing_is_left_out_and_named_and_the_others_go_on(rig: SyntheticRig) -> None:
    scene = ran(dark(rig, 1), queries=rig.queries[:2])
    assert scene.report["world"] == "that of the cameras as given, in their unit (metre)"
    assert [view["name"] for view in scene.report["views"]] == ["view 0", "view 2", "view 3"]
    assert any(told.startswith("view 1 was left out: its pictures show nothing") for told in scene.report["warnings"])


def test_the_view_of_pixels_keeps_its_number_when_one_before_it_is_left_out(rig: SyntheticRig) -> None:
    x, y = next((x, y) for x, y in _pixels(rig, 2))
    scene = ran(dark(rig, 0), queries=[[0, x, y]], query_view=2)
    assert scene.views[0].tracks_2d is not None  # of view 2, the second that is left
    assert np.allclose(scene.views[0].tracks_2d.xy[0, 0], (x, y), atol=0.5)


def test_pixels_of_a_view_that_is_left_out_are_refused_with_the_reason(rig: SyntheticRig) -> None:
    with pytest.raises(UserError, match="those of view 0, but view 0 was left out: its pictures show nothing"):
        ran(dark(rig, 0), queries=[[0, 160.0, 120.0]])


@pytest.mark.parametrize("place", [(-5.0, 10.0), (10.0, 241.0), (1000.0, 10.0)])
def test_a_pixel_outside_the_picture_is_refused_even_where_a_depth_could_be_made_up(rig: SyntheticRig, place: tuple[float, float]) -> None:
    with pytest.raises(UserError, match="frames of view 0 are 320 x 240 px"):
        ran(rig.clip, queries=[[0, *place]])


def test_no_weights_are_the_same_as_weights_none(rig: SyntheticRig) -> None:
    few = rig.queries[:1]
    assert np.array_equal(tk.track_multiview(rig.clip, few, weights=None).xyz, tk.track_multiview(rig.clip, few, weights="none").xyz, True)


def test_weights_that_are_none_are_told_before_anything_is_computed(rig: SyntheticRig, tmp_path: Path) -> None:
    events: list[Progress] = []
    (tmp_path / "w.safetensors").write_text("none")
    for name in ("w.safetensors", "nowhere.pt"):
        with pytest.raises(UserError):
            tk.run(rig.clip, weights=str(tmp_path / name), progress=events.append)
        with pytest.raises(UserError):
            tk.track_multiview(rig.clip, rig.queries, weights=str(tmp_path / name), progress=events.append)
    assert not events


def test_a_listener_that_is_no_function_is_told(rig: SyntheticRig) -> None:
    with pytest.raises(UserError, match="progress is 3, but a function"):
        tk.track_multiview(rig.clip, rig.queries, progress=3)  # type: ignore[arg-type]


def test_clips_that_did_not_begin_together_are_shifted_where_asked_and_told_how_otherwise(
    rig: SyntheticRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cameras = []
    for v, (view, camera) in enumerate(zip(rig.clip.views, rig.clip.cameras, strict=True)):
        tk.write_video(tmp_path / f"cam{v}.mp4", list(view.frames), 30.0)
        cameras.append({"name": f"cam{v}", "K": camera.K[0].tolist(), "T_wc": camera.T_wc[0].tolist(), "size": list(view.size)})
    (tmp_path / "cameras.json").write_text(json.dumps({"cameras": cameras}))
    looked: list[int] = []

    def checked(views: list[Sighted]) -> RigCheck:
        looked.append(len(views))
        return RigCheck(lag_frames={"cam0": 0, "cam1": 2}, late=("cam1 seems 2 frames late against cam0: set synchronise=true ...",))

    monkeypatch.setattr(mvtracker_intake, "check_rig", checked)
    query = [[0, *rig.xyz_w[0, 0]]]
    as_it_is = tk.run(tmp_path, queries=query, surroundings=False, progress=lambda event: None)
    assert "cam1 seems 2 frames late" in " ".join(as_it_is.report["warnings"])
    shifted = tk.run(tmp_path, queries=query, synchronise=True, surroundings=False, progress=lambda event: None)
    told = " ".join(shifted.report["warnings"])
    assert "shifted in whole frames: cam1 by 2" in told and "synchronise=true" not in told
    assert shifted.video is not None and len(shifted.video) == 6
    assert looked == [4, 4]  # the views are looked at once


@pytest.mark.filterwarnings("error")
def test_a_query_that_no_view_shows_is_told_and_nothing_is_made_up(rig: SyntheticRig) -> None:
    scene = ran(rig.clip, queries=[[0, 0.0, 0.0, -1e8], [3, *rig.xyz_w[0, 3]]])
    assert any(told.startswith("Query 0 at (0, 0, -1e+08), frame 0, lies in no view's picture") for told in scene.report["warnings"])
    assert scene.tracks_3d is not None
    assert not np.isfinite(scene.tracks_3d.xyz[0, 1:]).any()


def test_frames_that_are_asked_for_of_views_in_memory_are_those_of_the_result(rig: SyntheticRig) -> None:
    scene = ran(rig.clip, queries=[[0, *rig.queries[0, 1:]]], frames=slice(2, 8, 2))
    assert scene.video is not None and scene.cameras is not None and scene.tracks_3d is not None
    assert np.array_equal(scene.video.frames, rig.clip.views[0].frames[2:8:2])
    assert len(scene.cameras) == scene.tracks_3d.xyz.shape[1] == 3
    with pytest.raises(UserError, match="The MultiViewVideo has 8 frames, but frame 99 was asked for"):
        ran(rig.clip, queries=rig.queries[:1], frames=[0, 99])


def test_depth_of_some_views_alone_or_of_other_pictures_is_told(rig: SyntheticRig) -> None:
    assert rig.clip.depth_m is not None
    first, *others = rig.clip.depth_m
    for depth, told in (
        ((None, *others), r"The depth of view 0 is None, but \(8, 240, 320\) is needed"),
        ((first[:, :-1], *others), r"The depth of view 0 has shape \(8, 239, 320\)"),
        ((first,), "4 views came with depth of 1"),
    ):
        with pytest.raises(UserError, match=told):
            tk.track_multiview(replace(rig.clip, depth_m=depth), rig.queries[:1])


def test_intrinsics_that_are_none_are_told_with_their_view(rig: SyntheticRig) -> None:
    first, second, *others = rig.clip.cameras
    spoilt = replace(second, K=second.K * np.nan)
    with pytest.raises(UserError, match="K of view 1 is .*focal lengths above 0 is needed"):
        tk.track_multiview(replace(rig.clip, cameras=(first, spoilt, *others)), rig.queries[:1])


def test_weights_may_be_a_path_but_no_number(rig: SyntheticRig, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="weights is 3, but auto, none or the path"):
        tk.track_multiview(rig.clip, rig.queries[:1], weights=3)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no file"):
        ran(rig.clip, weights=tmp_path / "nowhere.pth")


def test_complex_queries_are_told_rather_than_cut(rig: SyntheticRig) -> None:
    with pytest.raises(UserError, match="queries must be numbers"):
        tk.track_multiview(rig.clip, rig.queries + 1j)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("x", "told"), [(np.nan, "finite numbers"), (1e300, "finite numbers"), (1e30, "numbers up to 1e.09")])
def test_queries_that_are_no_numbers_are_told_before_anything_is_read(x: float, told: str, rig: SyntheticRig) -> None:
    events: list[Progress] = []
    with pytest.raises(UserError, match=f"Query 1 is .*{told} are needed"):
        tk.run(rig.clip, queries=[[0, 0.0, 0.0, 2.0], [0, x, 0.0, 2.0]], progress=events.append)
    assert not events


@pytest.mark.parametrize("scale", [-1.0, np.nan, np.inf, 10**30, 10**400, 1j, np.complex64(1), True, "1"])
def test_a_depth_scale_that_is_no_length_is_told(scale: Any) -> None:
    with pytest.raises(UserError, match="depth_scale"):
        MvtrackerSettings(depth_scale=scale)


def _pixels(rig: SyntheticRig, view: int) -> np.ndarray:
    """Pixels of a view in the first frame at which a queried point is seen there."""
    from toolkit.geometry.cameras import project

    camera = rig.clip.cameras[view]
    xy, _ = project(rig.xyz_w, camera.K, camera.T_wc)
    return xy[rig.visible[view][:, 0], 0]
