"""VGGSfM's tracker by name: its published weights, brought by the user or fetched on first use, run over a whole video."""

from __future__ import annotations

import os
import warnings
from importlib.util import find_spec

import numpy as np

from toolkit.errors import UserError
from toolkit.progress import Report, silent
from toolkit.scene import F32, Tracks2D, Video
from toolkit.tracking.prune import covered_queries
from toolkit.tracking.queries import checked_queries, grid_points, query_frames

WEIGHTS = "LIFT4D_VGGSFM_WEIGHTS"
"""Environment variable with the path of the published file; where it is not set, the hub is asked."""
SENTENCE = (
    "VGGSfM's tracker (Wang et al., 2024), for wide baselines; slow without a graphics processor; its weights are fetched on first use, "
    f"or read from the file that {WEIGHTS} names."
)
LICENCE = "VGGSfM's weights are CC BY-NC 4.0: not for commercial use."
_LONG_S = 60.0  # what takes longer is announced


def track_vggsfm(
    video: Video,
    queries: F32 | None = None,
    *,
    grid: tuple[int, int] = (128, 128),
    every: int = 10,
    seed: int = 0,
    report: Report = silent,
) -> Tracks2D:
    """VGGSfM's tracker over the whole clip, both ways in time. Arguments as in `track_points`.

    Work of more than a minute is announced by a warning that says how long it will take. Confidence is the network's own and not
    calibrated; errors in pixels are unknown.

    Raises:
        UserError: If torch is not installed or the weights cannot be had.
    """
    asked = None if queries is None else checked_queries(queries, frames=len(video), size=video.size)
    moments = [] if queries is not None else query_frames(len(video), every=every)
    points = grid_points(video.size, grid=grid, seed=seed)
    try:
        import torch

        from toolkit.models.track_predictor import VGGSFM, TrackPredictor
    except ImportError as error:
        raise UserError("The tracker 'vggsfm' needs torch, which is not installed; install it or choose another tracker.") from error
    network = TrackPredictor.from_pretrained(os.environ.get(WEIGHTS) or VGGSFM.repository)
    network = network.to("cuda" if torch.cuda.is_available() else "cpu")

    first = _at(moments[0], points) if asked is None else asked
    seconds = network.estimate(len(video), first).seconds
    if seconds > _LONG_S:
        least = "at least " if len(moments) > 1 else ""
        warnings.warn(
            f"VGGSfM's tracker will take {least}about {_told(seconds)} here for {len(first)} points in {len(video)} frames.", stacklevel=2
        )
    if asked is not None:
        return network.infer(video, asked, report=report)
    done: Tracks2D | None = None
    for i, t in enumerate(moments):
        new = points if done is None else points[~covered_queries(points, done.xy[done.visible[:, t], t], radius_px=1.0)]
        if len(new):
            # A grid counts as 1000 steps, whatever is left of it to follow.
            more = network.infer(
                video, _at(t, new), report=lambda now, of, i=i: report(1000 * i + 1000 * now // max(of, 1), 1000 * len(moments))
            )
            done = more if done is None else _joined(done, more)
    assert done is not None  # the first grid is never covered
    return done


def prepare_vggsfm() -> None:
    """Makes sure that torch is installed and the weights are there and whole; they are fetched if need be.

    Raises:
        UserError: If torch is not installed or the weights cannot be had.
    """
    if find_spec("torch") is None:
        raise UserError("The tracker 'vggsfm' needs torch, which is not installed; install it or choose another tracker.")
    from toolkit.models.checkpoints import find_published, read_state
    from toolkit.models.track_predictor import VGGSFM, TrackPredictor

    path = find_published(os.environ.get(WEIGHTS) or VGGSFM.repository, VGGSFM)
    TrackPredictor.from_state_dict(read_state(path, prefix=VGGSFM.prefix, model=VGGSFM.name))


def _at(t: int, points: F32) -> F32:
    return np.column_stack([np.full(len(points), t), points]).astype(np.float32)


def _joined(a: Tracks2D, b: Tracks2D) -> Tracks2D:
    return Tracks2D(*(np.concatenate([getattr(a, name), getattr(b, name)]) for name in ("xy", "visible", "confidence", "queries")))


def _told(seconds: float) -> str:
    if seconds < 90 * 60:
        return f"{max(1, round(seconds / 60))} min"
    return f"{seconds / 3600:.1f} hours"
