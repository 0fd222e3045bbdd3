"""Stereo of Lift4D."""

from toolkit.stereo.calibration import calibrate_fisheye_pair as calibrate_fisheye_pair
from toolkit.stereo.checks import FlowChecks as FlowChecks
from toolkit.stereo.checks import depth_from_flow as depth_from_flow
from toolkit.stereo.disparity import depth_from_disparity as depth_from_disparity
from toolkit.stereo.disparity import estimate_disparity as estimate_disparity
from toolkit.stereo.disparity import match_pair as match_pair
from toolkit.stereo.pair_check import PairCheck as PairCheck
from toolkit.stereo.pair_check import vertical_disparity as vertical_disparity
from toolkit.stereo.rectify import Rectifier as Rectifier
from toolkit.stereo.rectify import rectify as rectify
from toolkit.stereo.rectify import right_cameras as right_cameras
from toolkit.stereo.refine import refine_rig as refine_rig
from toolkit.stereo.registry import matchers as matchers
from toolkit.stereo.registry import register_matcher as register_matcher
from toolkit.stereo.search import check_pair as check_pair
