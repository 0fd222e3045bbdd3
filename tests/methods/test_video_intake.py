"""What methods of one video share in taking it in."""

from toolkit.methods.video_intake import thinner


def test_a_grid_is_as_asked_for_in_clips_of_usual_length():
    assert thinner((40, 30), 20) == thinner((40, 30), 300) == (40, 30)


def test_of_a_long_clip_fewer_points_are_started():
    """Its tracks grow in number and in length."""
    assert thinner((40, 30), 600) == (20, 15)


def test_enough_points_are_started_to_find_cameras_however_long_the_clip():
    assert thinner((40, 30), 2000) == (10, 10) and thinner((6, 4), 2000) == (6, 4)
