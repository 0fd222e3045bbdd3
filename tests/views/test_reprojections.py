"""The reprojection video: dots where points were seen, lines along their errors."""

# pyright: reportOptionalMemberAccess=false

from dataclasses import replace

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.export.formats import FORMATS
from toolkit.geometry.cameras import project
from toolkit.scene import Scene
from toolkit.views.reprojections import draw_reprojections


@pytest.fixture(scope="module")
def shifted(room):
    """A black clip whose points were all seen 2 px right of where they project to."""
    xyz = room.tracks_3d.xyz
    xy = np.stack([project(xyz[:, t], room.cameras.K[t], room.cameras.T_wc[t])[0] for t in range(room.frames)], axis=1) + [2, 0]
    visible = np.isfinite(xy).all(-1) & np.isfinite(xyz).all(-1)
    tracks = replace(room.tracks_2d, xy=np.nan_to_num(xy), visible=visible)
    return replace(room, tracks_2d=tracks, video=replace(room.video, frames=np.zeros_like(room.video.frames)))


def test_lines_lead_from_where_a_point_was_seen_to_where_it_projects_to(shifted):
    frames = list(draw_reprojections(shifted, max_tracks=6))
    assert len(frames) == shifted.frames and all(side % 2 == 0 for side in frames[0].shape[:2])
    height, width = shifted.video.frames.shape[1:3]
    image = frames[0][:height, :width].astype(int).max(-1)
    rows, columns = np.nonzero(image > 60)
    seen = shifted.tracks_2d.xy[:, 0][shifted.tracks_2d.visible[:, 0]]
    left = [seen[np.abs(seen - [x, y]).sum(1).argmin()][0] - x for x, y in zip(columns, rows, strict=True)]
    assert len(rows) > 20 and np.mean(np.array(left) > 2) > 3 * np.mean(np.array(left) < -3), "errors of 2 px to the left, enlarged"


def test_a_frame_without_a_pose_says_so_and_draws_nothing(shifted):
    T_wc = shifted.cameras.T_wc.copy()
    T_wc[2] = np.nan
    frames = list(draw_reprojections(replace(shifted, cameras=replace(shifted.cameras, T_wc=T_wc))))
    height = shifted.video.frames.shape[1]
    assert frames[2][:height].max() == 0 < frames[3][:height].max()
    assert (frames[2][height:] != frames[3][height:]).any()
    assert {frame.shape for frame in frames} == {frames[0].shape}


def test_it_is_written_for_points_that_pictures_placed(room):
    lacks = FORMATS["reprojections.mp4"].lacks
    assert lacks(replace(room, report={"reprojection_error_px": 0.3})) == ""
    assert "placed by where pictures show them" in lacks(replace(room, report={}))
    assert "cameras" in lacks(Scene(video=room.video))
    with pytest.raises(UserError, match="Reprojections need"):
        draw_reprojections(Scene(video=room.video))
