"""What the page shows of a clip before it is run, as HTML: what it is, how its rows agree, what to mind."""

from __future__ import annotations

import html
from typing import Any

from toolkit.methods.stereo_intake import ROWS_APART_PX
from toolkit.page import texts

_GOOD_PX = 0.5
_METER_PX = 3.0


def found_card(name: str, found: dict[str, Any], notes: list[str], pair: dict[str, Any] | None = None) -> str:
    """What was found in a clip.

    Args:
        name: Of the clip.
        found: The answer of the job `look`.
        notes: Sentences to add to its warnings.
        pair: The answer of the job `pair`, once it is there.
    """
    told = [f'<div class="l4-name">{html.escape(name)}</div>', f'<div class="l4-found">{html.escape(found["summary"])}</div>']
    if pair is not None and found["kind"] in ("vr180", "stereo"):
        told.append(meter(pair))
        if pair.get("swapped"):
            notes = [*notes, texts.SWAPPED]
    told += [f'<div class="l4-note">{html.escape(note)}</div>' for note in dict.fromkeys([*notes, *found["warnings"]])]
    return f'<div class="l4-card">{"".join(told)}</div>'


def meter(pair: dict[str, Any]) -> str:
    """How far the rows of the two eyes are apart, on a scale with a green, an amber and a red part."""
    if not pair.get("vertical_px"):
        return f'<div class="l4-note">{html.escape(texts.METER_NONE)}</div>'
    median, spread = pair["vertical_px"]
    off = abs(median) + spread
    light, verdict = (
        ("good", texts.METER_GOOD)
        if off <= _GOOD_PX
        else ("fair", texts.METER_FAIR)
        if off <= ROWS_APART_PX
        else ("poor", texts.METER_POOR)
    )
    at = min(off / _METER_PX, 1.0) * 100
    ends = [_GOOD_PX / _METER_PX * 100, ROWS_APART_PX / _METER_PX * 100]
    scale = (
        f"linear-gradient(90deg,var(--l4-good) 0 {ends[0]:.0f}%,var(--l4-fair) {ends[0]:.0f}% {ends[1]:.0f}%,var(--l4-poor) {ends[1]:.0f}%)"
    )
    told = f"{texts.METER} {off:.2f} px, {pair['matches']} matches. {verdict} {texts.PAIR}"
    return (
        f'<div class="l4-meter {light}"><div class="l4-scale" style="background:{scale}"><i style="left:{at:.0f}%"></i></div>'
        f"<span>{html.escape(told)}</span></div>"
    )


def problem_card(sentence: str) -> str:
    """What has to change before the clip can be used."""
    return f'<div class="l4-card problem" role="alert">{html.escape(sentence)}</div>'


def quiet_card(sentence: str) -> str:
    """A sentence in the place of a card."""
    return f'<div class="l4-card quiet">{html.escape(sentence)}</div>'
