"""How large a TracksTo4D network is, read from its weights."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.errors import UserError
from toolkit.models.checkpoints import State

NAME = "TracksTo4D"


@dataclass(frozen=True)
class NetworkShape:
    """How large a network is; the defaults are the published one's.

    Attributes:
        width: Channels of a token.
        pairs: Pairs of a block over time and one over points.
        heads: Attention heads; a file of weights says so where there are not 16.
        inner: Channels of all heads together.
        hidden: Channels inside the feed-forward layers.
        bases: Shapes that a moving point is a mixture of over time, the still one included.
        frequencies: Of the Fourier features. The highest of twelve, 2048 pi, repeats itself within a pixel.
        kernel: Frames that the camera head looks at, odd.
        focal: Whether the focal head is used; the published networks have it but never trained it.
    """

    width: int = 256
    pairs: int = 3
    heads: int = 16
    inner: int = 1024
    hidden: int = 2048
    bases: int = 12
    frequencies: int = 12
    kernel: int = 31
    focal: bool = False

    @classmethod
    def of(cls, state: State) -> NetworkShape:
        """The shape that weights of these names have.

        Raises:
            UserError: names that say nothing of the shape.
        """
        block = "transformer_my.transformer_frames.{}.layers.0."
        try:
            return cls(
                width=int(state["fc1.weight"].shape[1]),
                pairs=sum(block.format(i) + "0.to_out.weight" in state for i in range(len(state))),
                heads=int(state.get("heads", cls.heads)),
                inner=int(state[block.format(0) + "0.to_out.weight"].shape[1]),
                hidden=int(state[block.format(0) + "1.net.1.weight"].shape[0]),
                bases=(int(state["fc1.weight"].shape[0]) - 1) // 3,
                frequencies=(int(state["transformer_my.to_patch_embedding.0.weight"].shape[0]) - 4) // 6,
                kernel=int(state["conv_final.weight"].shape[2]),
                focal=bool(state.get("focal", cls.focal)),
            )
        except (KeyError, IndexError) as error:
            held = f"it holds {next(iter(state))}, for instance" if state else "it holds nothing"
            raise UserError(f"These are not the weights of {NAME}: {error.args[0]} is not as it should be there; {held}.") from error
