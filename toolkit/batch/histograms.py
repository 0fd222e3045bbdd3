"""Histograms as SVG that stands in a page as it is."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

_WIDTH, _HEIGHT, _TEXT = 300, 90, 20
_BINS = range(6, 25)
_MOST_PERCENT = 98  # a few large values would squeeze all others into one bar


def histogram(numbers: Sequence[float], unit: str) -> str:
    """How often each value occurs; what lies beyond 98 % of many values is counted in the last bar.

    Args:
        numbers: At least one, all finite.
        unit: Of the numbers, for the axis.
    """
    values = np.asarray(numbers, float)
    low, high = float(values.min()), float(np.percentile(values, _MOST_PERCENT) if len(values) >= _BINS.stop else values.max())
    bins = int(np.clip(len(values) // 2, _BINS.start, _BINS.stop - 1))
    ends = ((0, "start", f"{low:.3g}"), (_WIDTH, "end", f"{high:.3g} {unit}"))
    if high > low:
        counts, _ = np.histogram(np.clip(values, low, high), bins, (low, high))
    else:  # one value alone stands in the middle
        counts = np.zeros(bins + 1 - bins % 2, int)
        counts[len(counts) // 2], bins, ends = len(values), len(counts), ((_WIDTH / 2, "middle", f"{low:.3g} {unit}"),)
    wide, tall = _WIDTH / bins, _HEIGHT / counts.max()
    bars = "".join(
        f'<rect x="{i * wide + 0.5:.1f}" y="{_HEIGHT - c * tall:.1f}" width="{wide - 1:.1f}" height="{c * tall:.1f}"/>'
        for i, c in enumerate(counts)
        if c
    )
    labels = "".join(
        f'<text x="{x}" y="{_HEIGHT + 15}" text-anchor="{side}" fill="var(--soft)" font-size="12">{escape(text.strip())}</text>'
        for x, side, text in ends
    )
    axis = f'<line x1="0" x2="{_WIDTH}" y1="{_HEIGHT}" y2="{_HEIGHT}" stroke="var(--line)"/>'
    head = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + _TEXT}" width="{_WIDTH}" role="img" aria-label="histogram">'
    return f'{head}<g fill="var(--bar)">{bars}</g>{axis}{labels}</svg>'
