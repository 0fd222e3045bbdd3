"""Stereo of Lift4D."""

from toolkit.stereo.calibration import calibrate_fisheye_pair as calibrate_fisheye_pair
from toolkit.stereo.pair_check import PairCheck as PairCheck
from toolkit.stereo.pair_check import vertical_disparity as vertical_disparity
from toolkit.stereo.rectify import Rectifier as Rectifier
from toolkit.stereo.rectify import rectify as rectify
from toolkit.stereo.rectify import right_cameras as right_cameras
from toolkit.stereo.refine import refine_rig as refine_rig
