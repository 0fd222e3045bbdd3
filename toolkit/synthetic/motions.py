"""Rigid motions over time: each is called with seconds and answers with a pose (4, 4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from toolkit.scene import F64

Motion = Callable[[float], F64]
Vector = tuple[float, float, float]


def pose(xyz: Vector = (0.0, 0.0, 0.0), *, yaw_deg: float = 0, pitch_deg: float = 0, roll_deg: float = 0) -> F64:
    """A placed thing (4, 4): turned right about y (down), then up about x, then about its own z."""
    T = np.eye(4)
    T[:3, :3] = Rotation.from_euler("YXZ", [yaw_deg, pitch_deg, roll_deg], degrees=True).as_matrix()
    T[:3, 3] = xyz
    return T


@dataclass(frozen=True)
class Drive:
    """Straight on at constant speed, looking where it goes.

    Attributes:
        start: Place at time 0, in metres.
        velocity: Metres per second.
    """

    start: Vector
    velocity: Vector

    def __call__(self, time_s: float) -> F64:
        """Pose at a time."""
        x, y, z = (s + v * time_s for s, v in zip(self.start, self.velocity, strict=True))
        return pose((x, y, z), yaw_deg=np.rad2deg(np.arctan2(self.velocity[0], self.velocity[2])))


@dataclass(frozen=True)
class Circle:
    """Round and round on a level circle, looking where it goes.

    Attributes:
        centre: Middle, in metres.
        radius: In metres.
        period_s: Seconds a round; negative turns the other way.
        phase_deg: Where it is at time 0.
    """

    centre: Vector
    radius: float
    period_s: float
    phase_deg: float = 0

    def __call__(self, time_s: float) -> F64:
        """Pose at a time."""
        angle = np.deg2rad(self.phase_deg) + 2 * np.pi * time_s / self.period_s
        x, y, z = self.centre
        yaw = np.rad2deg(angle) + (90 if self.period_s > 0 else -90)
        return pose((x + self.radius * np.sin(angle), y, z + self.radius * np.cos(angle)), yaw_deg=yaw)


@dataclass(frozen=True)
class Bounce:
    """A ball that drifts, turns and bounces on the ground.

    Attributes:
        start: Place of its centre at the lowest moment, at time 0, in metres.
        velocity: Drift in metres per second.
        height: How high it jumps, in metres.
        period_s: Seconds between bounces.
        phase: Share of a bounce that is over at time 0.
        spin: Turn as a rotation vector, radians per second.
    """

    start: Vector
    velocity: Vector
    height: float
    period_s: float
    phase: float = 0
    spin: Vector = (1.0, 0.6, 0.3)

    def __call__(self, time_s: float) -> F64:
        """Pose at a time."""
        u = (time_s / self.period_s + self.phase) % 1.0
        T = np.eye(4)
        T[:3, :3] = Rotation.from_rotvec(np.array(self.spin) * time_s).as_matrix()
        T[:3, 3] = np.array(self.start) + np.array(self.velocity) * time_s
        T[1, 3] -= 4 * self.height * u * (1 - u)
        return T


@dataclass(frozen=True)
class Roll:
    """A ball that rolls on the ground without slipping.

    Attributes:
        start: Place of its centre at time 0, in metres.
        velocity: Level velocity in metres per second.
        radius: Of the ball, in metres.
    """

    start: Vector
    velocity: Vector
    radius: float

    def __call__(self, time_s: float) -> F64:
        """Pose at a time."""
        v = np.array(self.velocity)
        T = np.eye(4)
        # It turns about up x v; up is -y.
        T[:3, :3] = Rotation.from_rotvec(np.cross([0, -1, 0], v) * time_s / self.radius).as_matrix()
        T[:3, 3] = np.array(self.start) + v * time_s
        return T


@dataclass(frozen=True)
class Sway:
    """A thing that floats about a place and slowly turns.

    Attributes:
        centre: Middle of the movement, in metres.
        reach: Half its extent along each axis, in metres.
        period_s: Seconds of one sway along each axis.
        turn_deg_s: Turn about the vertical, degrees per second.
    """

    centre: Vector
    reach: Vector
    period_s: Vector
    turn_deg_s: float = 0

    def __call__(self, time_s: float) -> F64:
        """Pose at a time."""
        phase = 2 * np.pi * time_s / np.array(self.period_s) + np.array([0.0, 1.0, 2.0])
        x, y, z = np.array(self.centre) + np.array(self.reach) * np.sin(phase)
        return pose((float(x), float(y), float(z)), yaw_deg=self.turn_deg_s * time_s, roll_deg=4 * np.sin(phase[0]))


@dataclass(frozen=True)
class Joint:
    """A hinge about x that swings in time.

    Attributes:
        at: Where it sits on its parent, in metres.
        bend_deg: Middle of the swing; positive lifts a hanging limb forward.
        swing_deg: Half its width.
        period_s: Seconds of one swing.
        phase_deg: Where in the swing it is at time 0.
    """

    at: Vector
    bend_deg: float = 0
    swing_deg: float = 0
    period_s: float = 1.0
    phase_deg: float = 0

    def __call__(self, time_s: float) -> F64:
        """Pose on its parent at a time."""
        angle = self.bend_deg + self.swing_deg * np.sin(2 * np.pi * time_s / self.period_s + np.deg2rad(self.phase_deg))
        return pose(self.at, pitch_deg=angle)


@dataclass(frozen=True)
class Chain:
    """A part that hangs on others: the motion of the whole, then joint after joint.

    Attributes:
        base: Motion of the whole figure.
        joints: From the trunk outwards.
    """

    base: Motion
    joints: tuple[Motion, ...]

    def __call__(self, time_s: float) -> F64:
        """Pose at a time."""
        T = self.base(time_s)
        for joint in self.joints:
            T = T @ joint(time_s)
        return T


@dataclass(frozen=True)
class Handheld:
    """A camera carried by a walking person: forward with bobbing and small turns that never repeat.

    Attributes:
        start: Place at time 0, in metres.
        velocity: Metres per second.
        bob: Half the movement right, down and forward of each step, in metres.
        yaw_deg: Where it looks at time 0, right of z.
        turn_deg_s: How fast it pans to the right.
        shake_deg: Half the turns about y, x and z.
        pitch_deg: How far it looks up on average.
    """

    start: Vector
    velocity: Vector
    bob: Vector = (0.012, 0.018, 0.006)
    yaw_deg: float = 0
    turn_deg_s: float = 0
    shake_deg: Vector = (1.6, 0.9, 0.7)
    pitch_deg: float = 0

    def __call__(self, time_s: float) -> F64:
        """Pose at a time."""
        steps = np.sin(2 * np.pi * np.array([0.9, 1.8, 1.8]) * time_s + np.array([0.0, 0.4, 1.9]))
        xyz = np.array(self.start) + np.array(self.velocity) * time_s + np.array(self.bob) * steps
        turns = np.sin(2 * np.pi * np.array([0.31, 0.53, 0.44]) * time_s) + 0.3 * np.sin(2 * np.pi * np.array([1.1, 1.7, 0.9]) * time_s)
        yaw, pitch, roll = np.array(self.shake_deg) * turns
        return pose(tuple(xyz), yaw_deg=self.yaw_deg + self.turn_deg_s * time_s + yaw, pitch_deg=self.pitch_deg + pitch, roll_deg=roll)
