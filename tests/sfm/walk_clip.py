"""Films of a still, textured room with exact cameras: walks, turns, cuts, all small."""

from functools import cache

import numpy as np

import toolkit as tk
from toolkit.synthetic import look_pinhole
from toolkit.synthetic.motions import pose
from toolkit.synthetic.places import room

SIZE = (320, 240)
K = np.array([[260.0, 0, 160], [0, 260.0, 120], [0, 0, 1]])


def film(poses):
    """Frames seen from (T, 4, 4) world-from-camera poses; time stands still, so nothing moves."""
    frames = np.array([_frame(T.tobytes()) for T in np.ascontiguousarray(poses)])
    return tk.Video.from_frames(frames, 15), tk.Cameras.from_poses(K, poses, SIZE)


def walk(frames=24, *, start=(-0.9, -1.3, -1.9), way=(1.5, 0.1, 0.6), turn_deg=-14.0, yaw_deg=8.0):
    """Poses along a straight line, turning a little."""
    share = np.linspace(0, 1, frames)
    return np.array([pose(tuple(np.array(start) + s * np.array(way)), yaw_deg=yaw_deg + s * turn_deg, pitch_deg=-6) for s in share])


def turn(frames=20, degrees=40.0):
    """Poses of a camera that only turns."""
    return np.array([pose((0.0, -1.3, -1.6), yaw_deg=a) for a in np.linspace(-degrees / 2, degrees / 2, frames)])


@cache
def _world():
    return room(1)


@cache
def _frame(T):
    return look_pinhole(_world(), K, SIZE, np.frombuffer(T).reshape(4, 4), 0.0).rgb
