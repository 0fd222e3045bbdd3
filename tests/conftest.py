"""What all tests share: one thread each, no network, real recordings only where LIFT4D_DATA names them."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("LIFT4D_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from pathlib import Path  # noqa: E402

import hypothesis  # noqa: E402
import pytest  # noqa: E402

# Property tests draw the same examples every time and are not judged by the clock of a busy machine.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.load_profile("steady")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where two processes share the tests (`-n 2 --dist loadgroup`), a file stays in one of them, and all that show a page in one."""
    for item in items:
        shows_a_page = item.path.parent.name == "page" or "browser" in item.path.stem
        item.add_marker(pytest.mark.xdist_group("page" if shows_a_page else str(item.path)))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real recordings; the test is skipped where there is none."""
    folder = os.environ.get("LIFT4D_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("LIFT4D_DATA does not name a folder of real recordings")
    return Path(folder)


@pytest.fixture(scope="session")
def golden() -> Path:
    """Inputs and outputs of the published implementations, kept beside the tests."""
    return Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def rooms():
    """The module that makes scenes: a textured room, a ball that moves through it, a camera that moves and turns."""
    from tests import room_scene

    return room_scene


@pytest.fixture(scope="session")
def room(rooms):
    """Ten frames of 96 x 64 with every part filled."""
    return rooms.room_scene()
