"""What st4rtrack takes in beside a video, checked: the lens, depth, masks, and the weights of its two-view network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import UserError
from toolkit.methods.video_intake import weights_file
from toolkit.scene import F64, B, DepthVideo, Video

if TYPE_CHECKING:
    from toolkit.models.pairpointmap import PairPointmap, PublishedPairPointmap

PAIR_WEIGHTS = "st4rtrack.safetensors"
MASK_AXES = 3  # (T, H, W)


def checked_lens(K: ArrayLike | None) -> F64 | None:
    """(3, 3) numbers of a lens; what they say is looked at with the tracks.

    Raises:
        UserError: no numbers.
    """
    try:
        return None if K is None else np.asarray(K, np.float64)
    except (TypeError, ValueError) as problem:
        raise UserError(f"K is {str(K)[:40]!r}, but (3, 3) numbers in pixels are needed.") from problem


def checked_depth(depth: DepthVideo | None, video: Video) -> DepthVideo | None:
    """Depth that belongs to a video.

    Raises:
        UserError: another type, number of frames or size.
    """
    if depth is None:
        return None
    if not isinstance(depth, DepthVideo):
        raise UserError(f"The depth is a {type(depth).__name__}, but a DepthVideo is needed.")
    if len(depth) != len(video):
        raise UserError(f"The depth has {len(depth)} frames, but the video {len(video)}; both must be alike.")
    height, width = depth.depth.shape[1:]
    if (width, height) != video.size:
        raise UserError(f"The depth has {width} x {height} px, but the video {video.size[0]} x {video.size[1]}; both must be alike.")
    return depth


def checked_masks(masks: ArrayLike | None, frames: int) -> B | None:
    """(T, H, W) where nothing counts.

    Raises:
        UserError: no numbers, another shape, or not one for each frame.
    """
    if masks is None:
        return None
    try:
        told = np.asarray(masks)
    except ValueError as problem:
        raise UserError("The masks are not all of one size, but (frames, height, width) is needed.") from problem
    if told.dtype.kind not in "buif" or told.ndim != MASK_AXES or not told.size:
        raise UserError(f"The masks are {told.dtype} of shape {told.shape}, but booleans (frames, height, width) are needed.")
    if len(told) != frames:
        raise UserError(f"{len(told)} masks came with {frames} frames; one each is needed.")
    return np.asarray(told != 0)


def masks_of_size(masks: B | None, size: tuple[int, int]) -> B | None:
    """Masks of pictures of any size for those of (width, height), which frames may have been reduced to; the nearest pixel counts."""
    if masks is None or masks.shape[:0:-1] == size:
        return masks
    rows, columns = (((np.arange(n) + 0.5) * (had / n)).astype(int) for n, had in zip(size[::-1], masks.shape[1:], strict=True))
    return masks[:, rows[:, None], columns]


def checked_pair_weights(weights: Any) -> Path | None:
    """The file of weights that is meant, "auto" for those that come with the package; None for none.

    Raises:
        UserError: no such file.
    """
    return weights_file(weights, PAIR_WEIGHTS)


def read_pair_network(file: Path) -> PairPointmap | PublishedPairPointmap:
    """The network of a file: ours, or a published checkpoint that a person has.

    Raises:
        UserError: not a file of such weights, or one with code in it.
    """
    from toolkit.models.pairpointmap import PairPointmap, PublishedPairPointmap

    try:
        return PairPointmap.from_pretrained(file).eval()
    except UserError as problem:
        try:
            return PublishedPairPointmap.from_pretrained(file).eval()
        except UserError as other:
            raise (problem if file.suffix == ".safetensors" else other) from None
