"""Relative depth from one picture at a time by Depth Anything V2, where the transformers library is installed and asked for."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from toolkit.errors import UserError
from toolkit.progress import Report, silent
from toolkit.scene import F32, Video

DEPTH_ANYTHING = "depth-anything/Depth-Anything-V2-Small-hf"  # Apache-2.0; the larger ones are not for commercial use
_SHORT_SIDE, _PATCH = 518, 14  # what the network was trained on
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of its training images


def relative_depth(video: Video, *, model: str = DEPTH_ANYTHING, revision: str | None = None, report: Report = silent) -> F32:
    """Relative inverse depth of every frame; `align_depth` gives it a scale.

    Args:
        video: T frames.
        model: A model for depth of the transformers library: a folder, or a name on the Hugging Face hub that is on this machine already.
        revision: Commit of the hub's repository.
        report: Told after each frame.

    Returns:
        (T, H, W) float32, larger is nearer, each frame with its own scale and offset.

    Raises:
        UserError: transformers is not installed, or the model is not on this machine.
    """
    network = _load(model, revision)
    import torch

    width, height = video.size
    shrink = _SHORT_SIDE / min(width, height)
    size = tuple(max(_PATCH, round(n * shrink / _PATCH) * _PATCH) for n in (width, height))
    out = np.empty(video.frames.shape[:3], np.float32)
    with torch.inference_mode():
        for t, frame in enumerate(video.frames):
            small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if shrink < 1 else cv2.INTER_CUBIC)
            pixels = ((small.astype(np.float32) / 255 - _MEAN) / _STD).astype(np.float32).transpose(2, 0, 1)
            answer = network(pixel_values=torch.from_numpy(np.ascontiguousarray(pixels))[None]).predicted_depth[0].numpy()
            out[t] = cv2.resize(answer, (width, height), interpolation=cv2.INTER_LINEAR)
            report(t + 1, len(video))
    return out


def _load(model: str, revision: str | None) -> Any:
    """The network, ready to run."""
    try:
        from transformers import AutoModelForDepthEstimation  # type: ignore[import-not-found]
    except ImportError:
        raise UserError(
            "Depth Anything needs the transformers library, which is not installed; install it, or give depth of your own as an array."
        ) from None
    try:
        return AutoModelForDepthEstimation.from_pretrained(model, revision=revision, local_files_only=True).eval()
    except OSError as error:
        raise UserError(
            f'The depth model "{model}" is not on this machine; download it once with "hf download {model}", or name its folder.'
        ) from error
