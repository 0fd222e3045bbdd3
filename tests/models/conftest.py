"""One network for all tests of this room, with seeded weights."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def seeded():
    """The module that makes the weights of the golden outputs."""
    from tests.models import seeded_weights

    return seeded_weights


@pytest.fixture(scope="session")
def state(golden, seeded):
    """All weights of the tracker under their published names, as arrays."""
    shapes = seeded.listed(golden / "vggsfm_tracker" / "state_dict.txt")
    return {name: seeded.seeded_array(name, shape) for name, shape in shapes.items()}


@pytest.fixture(scope="session")
def published(state):
    """The tracker with the faults of the published code."""
    from toolkit.models.track_predictor import TrackPredictor

    return TrackPredictor.from_state_dict(state, parity=True)


@pytest.fixture(scope="session")
def tracker(state):
    """The tracker as it is used."""
    from toolkit.models.track_predictor import TrackPredictor

    return TrackPredictor.from_state_dict(state)


@pytest.fixture(scope="session")
def cases(golden):
    """{"a": arrays, ...} of the published implementation, images as (S, 3, H, W) in 0..1."""
    found = {}
    for name in "abc":
        with np.load(golden / "vggsfm_tracker" / f"case_{name}.npz") as file:
            arrays = dict(file)
        arrays["images"] = (arrays["images_u8"].astype(np.float32) / np.float32(255)).transpose(0, 3, 1, 2).copy()
        found[name] = arrays
    return found
