"""The quality report: what was measured on the way, with the limits that make a figure green, amber or red."""

from __future__ import annotations

from typing import Any

import numpy as np


def measure(value: float, unit: str, *, green: float, amber: float, higher_is_better: bool, advice: str) -> dict[str, Any]:
    """One entry of `report["quality"]`: this is its format, with `value` None where it could not be measured.

    Args:
        value: The figure.
        unit: Its unit, such as "px" or "%".
        green: Limit of a good figure.
        amber: Limit of a usable one; beyond it is red.
        higher_is_better: Which side of the limits is good.
        advice: What to try when it is not green.
    """
    known = bool(np.isfinite(value))
    return {
        "value": round(float(value), 4) if known else None,
        "unit": unit,
        "green": green,
        "amber": amber,
        "higher_is_better": higher_is_better,
        "advice": advice,
    }
