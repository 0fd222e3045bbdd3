"""Classes of pixels from an optional network."""

import sys
import types
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from toolkit.errors import UserError
from toolkit.lifting.segmentation import segment_ade20k
from toolkit.scene import Video


@dataclass
class Answer:
    logits: torch.Tensor


class BrightIsSky:
    """Stands in for the network: bright pixels are class 2 of its own count, dark ones class 0."""

    @classmethod
    def from_pretrained(cls, model, revision=None):
        if model == "missing":
            raise OSError("no such model\nmore lines")
        return cls()

    def eval(self):
        return self

    def __call__(self, pixel_values):
        coarse = torch.nn.functional.avg_pool2d(pixel_values.mean(1, keepdim=True), 4)
        logits = torch.zeros(1, 150, *coarse.shape[2:])
        logits[:, 2] = coarse[:, 0]
        return Answer(logits)


@pytest.fixture
def network(monkeypatch):
    library = types.ModuleType("transformers")
    library.SegformerForSemanticSegmentation = BrightIsSky  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transformers", library)


def test_classes_have_the_size_of_the_video_and_count_from_one(network):
    frames = np.zeros((2, 60, 80, 3), np.uint8)
    frames[:, :30] = 255
    labels = segment_ade20k(Video.from_frames(frames))
    assert labels.shape == (2, 60, 80)
    assert (labels[:, :28] == 3).all()
    assert (labels[:, 32:] == 1).all()


def test_a_missing_library_or_model_is_told(network, monkeypatch):
    video = Video.from_frames(np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(UserError, match='"missing" cannot be loaded: no such model$'):
        segment_ade20k(video, model="missing")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match="needs the transformers library"):
        segment_ade20k(video)
