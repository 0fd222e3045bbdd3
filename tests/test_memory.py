import platform
from pathlib import Path

import numpy as np
import pytest

from toolkit.memory import give_back


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
