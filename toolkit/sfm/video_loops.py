"""Where a camera came back to: keyframes that look alike (VLAD, Jegou 2010), checked by geometry, and drift spread over the path between.

The path is corrected as similarities (Strasdat 2010), because a single camera drifts in scale too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csc_matrix
from scipy.sparse.linalg import spsolve
from scipy.spatial.transform import Rotation

from toolkit.scene import F64
from toolkit.sfm.features import Features


@dataclass(frozen=True)
class LoopOptions:
    """When two keyframes are taken to show the same place.

    Attributes:
        words: Of the vocabulary that is learned from the video itself.
        samples: Descriptors that it is learned from.
        candidates: Keyframes that are compared with each one, the most alike.
        far_frames: Model frames that must lie between; nearer ones are compared anyway.
        fewest: Features that must agree on one relative pose.
        fewest_points: Points of the model that must agree on the pose across the loop.
        most: Pairs that are compared at most; the most alike of all.
        closer: Share of a path's corrections under which they count as done.
    """

    words: int = 32
    samples: int = 8000
    candidates: int = 3
    far_frames: int = 20
    fewest: int = 25
    fewest_points: int = 15
    most: int = 160
    closer: float = 1e-7


@dataclass(frozen=True, eq=False)
class Similarities:
    """Similarities x -> scale * R x + t.

    Attributes:
        R: (n, 3, 3).
        t: (n, 3).
        scale: (n,).
    """

    R: F64
    t: F64
    scale: F64

    def after(self, first: Similarities) -> Similarities:
        """First `first`, then these."""
        return Similarities(
            self.R @ first.R, self.scale[:, None] * np.einsum("nij,nj->ni", self.R, first.t) + self.t, self.scale * first.scale
        )

    def inverse(self) -> Similarities:
        """The way back."""
        R = np.swapaxes(self.R, 1, 2)
        return Similarities(R, -np.einsum("nij,nj->ni", R, self.t) / self.scale[:, None], 1 / self.scale)

    def __getitem__(self, rows: NDArray) -> Similarities:
        """Some of them."""
        return Similarities(self.R[rows], self.t[rows], self.scale[rows])


@dataclass(frozen=True, eq=False)
class Constraints:
    """What is measured between cameras: `between` brings coordinates of camera `second` into those of camera `first`.

    Attributes:
        first: (m,) rows of cameras.
        second: (m,).
        between: m similarities.
        weight: (m,) how much each counts.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    between: Similarities
    weight: F64
    options: LoopOptions = field(default_factory=LoopOptions)


def alike(features: Mapping[int, Features], options: LoopOptions, seed: int) -> list[tuple[int, int]]:
    """Pairs of keyframes far apart in time that look most alike, best first.

    Args:
        features: By place among the model's frames.
        options: How many.
        seed: Of the vocabulary.
    """
    places = [k for k, found in sorted(features.items()) if len(found) >= options.fewest]
    if len(places) < 2:
        return []
    words = _vocabulary([features[k] for k in places], options, seed)
    table = np.stack([_vlad(features[k].descriptor, words) for k in places])
    likeness = table @ table.T
    at = np.array(places)
    likeness[np.abs(at[:, None] - at) < options.far_frames] = -np.inf
    found: dict[tuple[int, int], float] = {}
    for n, row in enumerate(likeness):
        for m in np.argsort(-row, kind="stable")[: options.candidates]:
            if np.isfinite(row[m]):
                found[min(places[n], places[m]), max(places[n], places[m])] = float(row[m])
    return sorted(found, key=lambda pair: (-found[pair], pair))[: options.most]


def _vocabulary(features: Sequence[Features], options: LoopOptions, seed: int) -> NDArray[np.float32]:
    """(words, 128) centres of descriptors, by a few rounds of k-means."""
    rng = np.random.default_rng(seed)
    each = max(1, options.samples // len(features))
    sample = np.concatenate([f.descriptor[rng.permutation(len(f))[:each]] for f in features]).astype(np.float32) / 512
    centres = sample[rng.permutation(len(sample))[: options.words]].copy()
    for _ in range(8):
        word = (sample @ centres.T - 0.5 * (centres**2).sum(1)).argmax(1)
        for w in range(len(centres)):
            if (word == w).any():
                centres[w] = sample[word == w].mean(0)
    return np.asarray(centres, np.float32)


def _vlad(descriptor: NDArray[np.uint8], words: NDArray[np.float32]) -> NDArray[np.float32]:
    """One long vector of where a picture's descriptors lie about the words, of length 1."""
    a = descriptor.astype(np.float32) / 512
    word = (a @ words.T - 0.5 * (words**2).sum(1)).argmax(1)
    out = np.zeros_like(words)
    np.add.at(out, word, a - words[word])
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), np.float32(1e-6))  # no word outshouts the others (Arandjelovic 2013)
    return (out / np.float32(max(float(np.linalg.norm(out)), 1e-6))).ravel().astype(np.float32)


def spread_drift(start: Similarities, measured: Constraints, steps: int = 15) -> Similarities:
    """World-from-camera similarities that fit what is measured between cameras, the first one held (Gauss-Newton).

    Args:
        start: Of every camera.
        measured: Between pairs of them, neighbours and loops.
        steps: At most.
    """
    at, count, m = start, len(start.scale), len(measured.first)
    for _ in range(steps):
        r = _residuals(at, measured)
        rows, columns, values = [], [], []
        for which in (measured.first, measured.second):
            for d in range(7):
                small = np.zeros((count, 7))
                small[:, d] = 1e-6
                moved = _moved(at, small)
                one = Similarities(at.R, at.t, at.scale)
                first = moved if which is measured.first else one
                second = moved if which is measured.second else one
                change = (_errors(first[measured.first], second[measured.second], measured) - r) / 1e-6
                rows.append(np.arange(7 * m))
                columns.append(np.repeat(7 * which + d, 7))
                values.append(change.ravel())
        J = coo_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(7 * m, 7 * count)).tocsc()[:, 7:]
        A = (J.T @ J).tocsc()
        step = np.asarray(spsolve(A + 1e-9 * _diagonal(A), -J.T @ r.ravel()))
        at = _moved(at, np.concatenate([np.zeros(7), step]).reshape(-1, 7))
        if np.abs(step).max() < measured.options.closer:
            break
    return at


def _diagonal(A: csc_matrix) -> csc_matrix:
    values = np.maximum(A.diagonal(), 1e-6)
    at = np.arange(len(values))
    return csc_matrix((values, (at, at)))


def _moved(at: Similarities, change: F64) -> Similarities:
    """Each similarity followed, in its own camera's axes, by a small one: turn, shift, growth."""
    turn = Rotation.from_rotvec(change[:, :3]).as_matrix()
    return at.after(Similarities(turn, change[:, 3:6], np.exp(change[:, 6])))


def _residuals(at: Similarities, measured: Constraints) -> F64:
    return _errors(at[measured.first], at[measured.second], measured)


def _errors(first: Similarities, second: Similarities, measured: Constraints) -> F64:
    """(m, 7) weighted: turn, shift and growth by which two cameras differ from what was measured between them."""
    off = measured.between.inverse().after(first.inverse().after(second))
    return measured.weight[:, None] * np.column_stack([Rotation.from_matrix(off.R).as_rotvec(), off.t, np.log(off.scale)])
