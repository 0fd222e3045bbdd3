import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from toolkit.memory import forget_peak, give_back, peak_mb


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps freed memory in a way that it can be asked to return")
def test_memory_that_was_freed_between_what_is_kept_goes_back_to_the_system():
    before = resident()
    # Below the size at which glibc maps a block of its own: these lie in one heap, in which every second one stays.
    blocks = [np.ones(100_000, np.uint8) for _ in range(2000)]
    kept = blocks[::2]
    del blocks
    freed = resident()
    give_back()
    assert len(kept) == 1000
    assert freed - resident() > 0.6 * 1000 * 100_000, f"{before} {freed}"


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux measures a peak anew")
def test_the_peak_of_a_run_is_neither_that_of_an_earlier_one_nor_that_of_who_started_it():
    kept = np.ones(400_000_000, np.uint8)
    asked = "from toolkit.memory import peak_mb; print(peak_mb())"
    assert float(subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout) < 400, (
        "the one who started it held more"
    )
    before = peak_mb()
    del kept
    forget_peak()
    assert peak_mb() < before - 300
