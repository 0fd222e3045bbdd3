"""All standing trials in one go, as `benchmark --soak` runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from toolkit.soak.callers import soak_calls
from toolkit.soak.fuzz import Verdict, counted_outcomes
from toolkit.soak.visitors import soak_page

_ROOT = Path(__file__).resolve().parents[2]
_TELL_EVERY = 100
_INPUTS_PER_CALL = 4
_BACK_MB = 100.0
"""So much more memory than before is no leak: allocators keep some."""


def verdicts(count: int, seed: int = 0, first: int = 0) -> Iterator[Verdict]:
    """What becomes of so many spoilt recordings, in a process of its own that has no threads."""
    one = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LIFT4D_THREADS")}
    environment = {**os.environ, **one, "PYTHONPATH": os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))}
    command = [sys.executable, "-m", "toolkit.soak.fuzz", str(count), str(seed), str(first)]
    told = 0
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            told += 1
            yield Verdict(**json.loads(line))
    if told != count:
        raise RuntimeError(f"The process that opens spoilt recordings ended with {process.returncode} after {told} of {count}.")


def run_trials(
    *, inputs: int, visitors: int, minutes: float, seed: int = 0, tell: Callable[[str], None] = lambda line: None
) -> tuple[dict[str, Any], bool]:
    """Spoilt recordings, then hostile calls, a quarter as many, then visitors.

    Args:
        inputs: How many recordings are spoilt.
        visitors: At a time.
        minutes: That they come; 0 for none.
        seed: Of both.
        tell: Called with a line now and then.

    Returns:
        What was found, and whether all of it is good.
    """
    found: dict[str, Any] = {}
    good = True
    if inputs:
        all_verdicts = []
        for verdict in verdicts(inputs, seed):
            all_verdicts.append(verdict)
            if not verdict.good:
                tell(f"case {verdict.number} of seed {seed}: {verdict.made_of}, {verdict.how}: {verdict.outcome}\n{verdict.told}")
            if len(all_verdicts) % _TELL_EVERY == 0:
                tell(f"{len(all_verdicts)} of {inputs} spoilt recordings: {counted_outcomes(all_verdicts)}")
        found["spoilt recordings"] = {
            **counted_outcomes(all_verdicts),
            "slowest_cpu_s": max(verdict.cpu_s for verdict in all_verdicts),
            "slowest_wall_s": max(verdict.wall_s for verdict in all_verdicts),
            "peak_mb": max(verdict.peak_mb for verdict in all_verdicts),
        }
        answers, wrong = soak_calls(-(-inputs // _INPUTS_PER_CALL), seed=seed, tell=tell)
        for problem in wrong:
            tell(problem)
        found["hostile calls"] = {**Counter(answer.outcome for answer in answers), "wrong afterwards": len(wrong)}
        good = not wrong and all(answer.good for answer in answers) and all(verdict.good for verdict in all_verdicts)
    if minutes > 0:
        tally = soak_page(visitors=visitors, minutes=minutes, seed=seed, tell=tell)
        for problem in (*tally.lost, *tally.mixed):
            tell(problem)
        back = tally.end["memory_mb"] - tally.start["memory_mb"] <= _BACK_MB and tally.end["files"] <= tally.start["files"]
        good = good and not tally.lost and not tally.mixed and back
        found["visitors"] = {
            "done": dict(tally.counts),
            "lost": len(tally.lost),
            "mixed": len(tally.mixed),
            "before": tally.start,
            "after": tally.end,
            "peak_mb": round(tally.peak_mb),
        }
    return found, good
