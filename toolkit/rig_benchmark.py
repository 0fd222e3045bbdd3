"""The shell's `benchmark --rigs`: a table, scores as JSON and curves of how well points are followed through generated rigs."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from toolkit.evaluation.rig_curves import Setting, rig_curves, settings_of_curves, table_of
from toolkit.media.writing import replacing

_QUICK = [Setting(views=3, frames=10, size=(160, 120)), Setting(frames=10, size=(160, 120))]


def measure_rigs(*, recordings: int, quick: bool, out: Path | None) -> None:
    """Prints the table; with a file, writes the scores there and the curves beside it, as .png.

    Args:
        recordings: Of each kind.
        quick: Two small kinds instead of all.
        out: For the scores as JSON.
    """

    def tell(done: int, total: int) -> None:
        print(f"followed: {done} of {total}", file=sys.stderr, flush=True)

    scores = rig_curves(_QUICK if quick else settings_of_curves(), seeds=range(recordings), report=tell)
    print(table_of(scores))
    if out is None:
        return
    with replacing(out) as partial:
        partial.write_text(json.dumps([asdict(score) for score in scores], indent=2) + "\n")
    from toolkit.views.rig_plots import plot_rig_curves

    picture = out.with_suffix(".png")
    plot_rig_curves(scores).savefig(picture, dpi=90)
    print(f"wrote {out}\nwrote {picture}")
