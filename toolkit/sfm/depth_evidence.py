"""Whether a model of photos or of a video holds depth, which of its pictures do, and the sentence for those that don't."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from toolkit.errors import UserError
from toolkit.scene import F64, I64
from toolkit.sfm.mapping import Correspondences
from toolkit.sfm.parallax import Parallax, ParallaxOptions, parallax
from toolkit.sfm.sightings import of_photos, of_video
from toolkit.sfm.video_points import VideoPoints

if TYPE_CHECKING:
    import pycolmap


class NoDepth(UserError):  # noqa: N818  (what was found, told to a person like any other)
    """Nothing in the pictures shows depth; a camera that stayed in its place may explain them.

    Attributes:
        share: Of the picture that a moving camera explains all the same; too little to go by.
    """

    def __init__(self, message: str, *, share: float = 0.0) -> None:
        """With the sentence for the person."""
        super().__init__(message)
        self.share = share


@dataclass(frozen=True, eq=False)
class DepthEvidence:
    """What points say about depth.

    Attributes:
        share: Of the picture that shows depth.
        still: Of the picture that a mere turn of the camera explains.
        flat: Pictures that show none: places in what was asked about.
    """

    share: float
    still: float
    flat: list[int]


def evidence_of_photos(
    found: Correspondences,
    cameras: Sequence[pycolmap.Camera],
    T_cw: F64 | None,
    options: ParallaxOptions,
    *,
    fixed_lens: bool,
    seed: int = 0,
) -> DepthEvidence | None:
    """What the matches of photos say; None where nothing matches.

    Args:
        found: Features and pairs.
        cameras: The lens of each photo.
        T_cw: (T, 4, 4) camera-from-world, NaN where a photo has no place; None where there is no model.
        options: When a point counts.
        fixed_lens: Whether the lens is known.
        seed: Of the random choice of points.
    """
    rows = range(len(found.names)) if T_cw is None else np.flatnonzero(np.isfinite(T_cw[:, 0, 0])).tolist()
    seen = of_photos(found, cameras, rows, fixed_lens=fixed_lens, seed=seed)
    if seen is None:
        return None
    result = parallax(seen, None if T_cw is None else T_cw[rows], options)
    weak = [] if T_cw is None else _flat(result.deep_in, np.bincount(seen.frame, minlength=len(rows)), options)
    return DepthEvidence(result.share, result.still, [rows[k] for k in weak])


def evidence_of_video(
    points: VideoPoints,
    frames: Sequence[int],
    camera: pycolmap.Camera,
    T_cw: F64,
    options: ParallaxOptions,
    *,
    fixed_lens: bool,
    seed: int = 0,
) -> DepthEvidence | None:
    """What the points followed through a video say, in windows; None where none is followed.

    Args:
        points: Of the whole video.
        frames: The frames of the model.
        camera: The lens.
        T_cw: (K, 4, 4) camera-from-world of these frames, NaN where one has no place.
        options: When a point counts.
        fixed_lens: Whether the lens is known.
        seed: Of the random choice of points.
    """
    placed = np.flatnonzero(np.isfinite(T_cw[:, 0, 0]))
    heard: list[tuple[I64, I64, Parallax]] = []
    for rows in np.array_split(placed, max(1, -(-len(placed) // options.window))):
        seen = of_video(points, camera, [frames[k] for k in rows], fixed_lens=fixed_lens, seed=seed) if len(rows) > 1 else None
        if seen is not None:
            heard.append((rows, seen.name, parallax(seen, T_cw[rows], options)))
    if not heard:
        return None
    lengths = [len(rows) for rows, _, _ in heard]
    share, still = (float(np.average([getattr(p, what) for _, _, p in heard], weights=lengths)) for what in ("share", "still"))
    # A point that shows its depth in one window has it in all.
    deep = np.unique(np.concatenate([name[p.deep] for _, name, p in heard]))
    judged = np.unique(np.concatenate([name for _, name, _ in heard]))
    told = np.array([[np.isin(points.ids[frames[k]], which).sum() for which in (deep, judged)] for k in placed.tolist()])
    flat = _flat(told[:, 0], told[:, 1], options)
    best = max(p.share for _, _, p in heard)
    return DepthEvidence(best if best >= options.share else share, still, placed[flat].tolist())


def why_flat(found: DepthEvidence, pictures: str, between: str) -> str:
    """One sentence on what is missing.

    Args:
        found: What the points say.
        pictures: "photos" or "frames".
        between: When to move, such as "between photos".
    """
    if found.still > 0.45:
        rest = ", and what shifts in the rest may be things that move" if found.share > 0.05 else ""
        return (
            f"The camera only turns or stands still, or moves too little: that explains {100 * found.still:.0f} % of what the {pictures} "
            f"show{rest}, so no depth and no path can be known; move further sideways {between}."
        )
    return (
        f"No camera in a still place explains what the {pictures} show: only {100 * found.share:.0f} % of it agree on a depth; "
        "film things that stay where they are, with texture and without noise."
    )


def _flat(deep: I64, seen: I64, options: ParallaxOptions) -> list[int]:
    """Pictures of whose points next to none has a depth."""
    return np.flatnonzero(deep < options.least * np.maximum(seen, 1)).tolist()
