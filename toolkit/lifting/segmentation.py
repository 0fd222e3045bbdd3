"""Classes of every pixel from SegFormer, for the published drift rules, where the transformers library is installed and asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolkit.errors import UserError
from toolkit.progress import Report, silent
from toolkit.scene import U8, Video

SEGFORMER = "nvidia/segformer-b0-finetuned-ade-512-512"  # its weights are licensed for non-commercial use only
_SIDE = 512  # pixels; what the network was trained on
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of its training images


def segment_ade20k(video: Video, *, model: str = SEGFORMER, revision: str | None = None, report: Report = silent) -> U8:
    """ADE20K class of every pixel, as `filter_drift` takes it.

    Args:
        video: T frames.
        model: A SegFormer trained on ADE20K: a folder, or a name on the Hugging Face hub, whose licence is then yours to keep.
        revision: Commit of the hub's repository; pin it for results that last.
        report: Told after each frame.

    Returns:
        (T, H, W) uint8, 1 to 150.

    Raises:
        UserError: transformers is not installed, or the model cannot be loaded.
    """
    network = _load(model, revision)
    import torch
    from torch.nn.functional import interpolate

    labels = np.empty(video.frames.shape[:3], np.uint8)
    mean, std = (torch.tensor(v)[:, None, None] for v in (_MEAN, _STD))
    with torch.inference_mode():
        for t, frame in enumerate(video.frames):
            image = torch.from_numpy(frame.copy()).permute(2, 0, 1).float() / 255
            small = interpolate(((image - mean) / std)[None], size=(_SIDE, _SIDE), mode="bilinear", align_corners=False, antialias=True)
            logits = interpolate(network(pixel_values=small).logits, size=frame.shape[:2], mode="bilinear", align_corners=False)
            labels[t] = logits[0].argmax(0).numpy() + 1  # the network counts from 0, label images keep 0 for no class
            report(t + 1, len(video))
    return labels


def _load(model: str, revision: str | None) -> Any:
    """The network, ready to run."""
    try:
        from transformers import SegformerForSemanticSegmentation  # type: ignore[import-not-found]
    except ImportError:
        raise UserError(
            "Segmentation needs the transformers library, which is not installed; install it, or give labels yourself."
        ) from None
    try:
        return SegformerForSemanticSegmentation.from_pretrained(model, revision=revision).eval()
    except OSError as error:
        first = str(error).strip().split("\n")[0]
        raise UserError(f'The segmentation model "{model}" cannot be loaded: {first}') from error
