"""The weights of st4rtrack's two-view network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import UserError
from toolkit.methods.video_intake import weights_file

if TYPE_CHECKING:
    from toolkit.models.pairpointmap import PairPointmap, PublishedPairPointmap

PAIR_WEIGHTS = "st4rtrack.safetensors"


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
