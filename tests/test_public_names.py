"""The names that notebooks, the page, the shell and outside programs rely on."""

import subprocess
import sys

import toolkit as tk
from toolkit import stages


def test_the_public_names_are_frozen():
    assert sorted(tk.__all__) == sorted(
        """Cameras Cancelled DepthVideo Disparity MVTracker MethodInfo MultiViewVideo PairPointmap PointCloud Progress Scene Source
        StereoVideo TrackPredictor
        Tracks2D Tracks3D TracksTo4D UserError Video align_depth depth_from_disparity estimate_disparity export filter_drift
        inspect iter_video lift_tracks load load_dataset_npz methods optimize_tracks prune_tracks read_video reconstruct
        reconstruct_tracks rectify run save save_dataset_npz scene_motion steps track_multiview track_points track_world view
        write_video""".split()
    )


def test_stages_without_a_verb_have_a_public_place():
    assert (
        stages.__all__
        == """align_similarity default_vr180_rig focal_of_pointmap nonrigid_shapes pointmaps pose_by_pnp pose_by_points
        stereo_odometry""".split()
    )
    for name in stages.__all__:
        assert getattr(stages, name).__doc__, name


def test_every_public_name_exists_and_tells_what_it_is_for():
    for name in tk.__all__:
        assert getattr(tk, name).__doc__, name


def test_torch_is_not_imported_before_a_network_is_asked_for():
    code = "import sys, toolkit; assert 'TrackPredictor' in toolkit.__all__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
