"""Curves of how well points are followed through generated rigs, over the number of views and over what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from toolkit.evaluation.rig_curves import RigScore, Setting
from toolkit.views.plots_3d import new_figure

_LOOKS: dict[str, dict[str, Any]] = {
    "ours": {"color": "#e4572e", "marker": "o"},
    "ours, without depth": {"color": "#2b7bba", "marker": "s"},
    "each view alone": {"color": "#555555", "marker": "^", "ls": "--"},
    "stays": {"color": "#9aa3ad", "marker": "x", "ls": ":"},
}
_PANELS: tuple[tuple[str, Callable[[Setting], float | None]], ...] = (
    ("views", lambda kind: None if kind.wrong or kind.pillars else kind.views),
    ("K off by (%)", lambda kind: _share(kind, ("K",))),
    ("poses off by (%)", lambda kind: _share(kind, ("poses",))),
    ("depth off by (%)", lambda kind: _share(kind, ("depth",))),
    ("all three off by (%)", lambda kind: _share(kind, ("K", "poses", "depth"))),
    ("posts in the way", lambda kind: None if kind.wrong or kind.views != _USUAL else kind.pillars),
)
_USUAL = Setting().views


def plot_rig_curves(scores: Sequence[RigScore]) -> Figure:
    """AJ above and MTE below, a column for each thing that is varied, with the spread from recording to recording.

    Args:
        scores: From `rig_curves`.
    """
    columns = [(name, at) for name, at in _PANELS if len({at(s.setting) for s in scores} - {None}) > 1]
    figure = new_figure(2.6 * max(len(columns), 2), 5.6)
    axes = figure.subplots(2, max(len(columns), 1), squeeze=False, sharey="row")
    for k, (name, at) in enumerate(columns):
        for row, value, spread in ((0, "AJ", "AJ_sd"), (1, "MTE_cm", "MTE_sd")):
            _curves(axes[row, k], scores, at, value, spread)
        axes[1, k].set_xlabel(name)
    axes[0, 0].set_ylabel("AJ, 1 to 20 cm (%)")
    axes[1, 0].set_ylabel("median error (cm)")
    for axis in axes[:, 0]:
        axis.set_ylim(bottom=0)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _curves(axis: Axes, scores: Sequence[RigScore], at: Callable[[Setting], float | None], value: str, spread: str) -> None:
    for tracker in dict.fromkeys(score.tracker for score in scores):
        mine = {at(s.setting): s for s in scores if s.tracker == tracker and at(s.setting) is not None}
        where = sorted(x for x in mine if x is not None)
        heights = [getattr(mine[x], value) for x in where]
        axis.errorbar(where, heights, [getattr(mine[x], spread) for x in where], ms=4, capsize=2, lw=1.3, label=tracker, **_LOOKS[tracker])
    axis.grid(alpha=0.3)


def _share(kind: Setting, wrong: tuple[str, ...]) -> float | None:
    """Per cent by which these err, 0 where nothing does; None for other kinds of recording."""
    if kind.pillars or kind.views != _USUAL or kind.wrong not in ((), wrong):
        return None
    return 100 * kind.share
