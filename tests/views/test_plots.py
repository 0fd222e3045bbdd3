"""Figures draw with any parts missing and show the numbers they should."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.scene import Cameras, DepthVideo, Scene
from toolkit.views.plots import figure_3d, plot_cameras, plot_depth_histogram, plot_quality, plot_tracks_3d
from toolkit.views.report import quality_lines


def test_the_camera_plot_shows_path_turn_and_height_with_units(room):
    figure = plot_cameras(room)
    above, turn, height, focal = figure.axes
    path = above.lines[0]
    np.testing.assert_allclose(np.asarray(path.get_xdata()), room.cameras.centres[:, 0])
    np.testing.assert_allclose(np.asarray(path.get_ydata()), room.cameras.centres[:, 2])
    assert above.get_xlabel() == "x, right (m)" and "deg" in turn.get_ylabel() and "(m)" in height.get_ylabel()
    assert focal.get_ylabel() == "focal length (px)" and focal.get_title() == "the picture is 60 degrees wide"
    np.testing.assert_allclose(np.asarray(focal.lines[0].get_ydata()), room.cameras.K[:, 0, 0])
    yaw = np.asarray(turn.lines[0].get_ydata())
    assert yaw[-1] == pytest.approx(12, abs=0.5)  # the room's camera turns by 12 degrees to the right
    figure.canvas.draw()


def test_the_camera_plot_leaves_out_frames_without_a_pose_and_refuses_none(room):
    T_wc = room.cameras.T_wc.copy()
    T_wc[4] = np.nan
    figure = plot_cameras(replace(room, cameras=Cameras(room.cameras.K, T_wc, room.cameras.size)))
    assert len(np.asarray(figure.axes[0].lines[0].get_xdata())) == 9
    with pytest.raises(UserError, match="no camera poses"):
        plot_cameras(replace(room, cameras=Cameras(room.cameras.K, np.full_like(T_wc, np.nan), room.cameras.size)))


def test_a_single_pose_plots(room):
    one = Cameras(room.cameras.K[:1], room.cameras.T_wc[:1], room.cameras.size[:1])
    plot_cameras(Scene(cameras=one, method="x")).canvas.draw()


def test_the_depth_histogram_tells_the_median_and_the_unknown_share(room):
    axes = plot_depth_histogram(room).axes[0]
    unknown = 100 * np.isnan(room.depth.depth).mean()
    assert axes.get_title() == f"{unknown:.1f} % of the pixels have no depth"
    assert f"{np.nanmedian(room.depth.depth):.3g} m" in axes.texts[0].get_text()
    empty = DepthVideo(np.full((1, 8, 8), np.nan, np.float32), np.zeros((1, 8, 8), np.float32))
    assert plot_depth_histogram(Scene(depth=empty, method="x")).axes[0].get_title().startswith("100.0 %")


def test_the_quality_plot_draws_each_line_and_an_empty_report(room):
    quality = {"tracks kept": {"value": 0.4, "unit": "", "green": 0.6, "amber": 0.3, "higher_is_better": True, "advice": "More light."}}
    words = [t.get_text() for t in plot_quality(quality_lines(replace(room, report={"quality": quality}))).axes[0].texts]
    assert words == ["tracks kept", "0.4 · fair", "More light."]
    assert "Nothing was measured" in plot_quality([]).axes[0].texts[0].get_text()


def test_the_3d_plot_draws_any_frame_and_refuses_others(room):
    plot_tracks_3d(room, 3).canvas.draw()
    plot_tracks_3d(Scene(tracks_3d=room.tracks_3d, method="x", unit="relative")).canvas.draw()
    with pytest.raises(UserError, match="Frame 10 does not exist; the scene has 10 frames"):
        plot_tracks_3d(room, 10)


def test_the_figure_to_play_has_a_frame_per_frame_a_slider_and_buttons(room):
    figure: Any = figure_3d(room)
    assert [f.name for f in figure.frames] == [str(t) for t in range(10)]
    assert len(figure.layout.sliders[0].steps) == 10
    assert [b.label for b in figure.layout.updatemenus[0].buttons] == ["Play", "Pause"]
    assert {t.name for t in figure.data} == {"moving", "trails", "camera", "still", "camera path"}


def test_the_figure_shows_moving_tracks_upright(room):
    moving = room.tracks_3d.xyz[room.tracks_3d.motion > 0.5, 6]
    figure: Any = figure_3d(room)
    data = figure.frames[6].data[0]
    np.testing.assert_allclose(np.nanmean(data.z), -np.nanmean(moving[:, 1]), atol=1e-5)
    np.testing.assert_allclose(np.nanmean(data.y), np.nanmean(moving[:, 2]), atol=1e-5)


def test_a_long_clip_stops_the_slider_at_sixty_frames_and_tracks_alone_do(rooms):
    scene = rooms.room_scene(frames=90, size=(32, 24), tracks=60)
    figure: Any = figure_3d(scene)
    assert len(figure.frames) == 60
    assert figure_3d(Scene(tracks_3d=scene.tracks_3d, method="x")).data


def test_missing_parts_are_named():
    with pytest.raises(UserError, match="no 3D tracks"):
        figure_3d(Scene(method="x"))
    with pytest.raises(UserError, match="no depth"):
        plot_depth_histogram(Scene(method="x"))
