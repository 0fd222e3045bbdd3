"""Names of matchers and trackers: whatever is no name gets a sentence."""

import pytest

from toolkit.errors import UserError
from toolkit.stereo.registry import matcher_of
from toolkit.tracking.registry import find_tracker


@pytest.mark.parametrize("name", [[1], {}, None, 3, "nothing"])
@pytest.mark.parametrize("find", [matcher_of, find_tracker])
def test_what_names_nothing_is_told_with_the_names_there_are(find, name):
    with pytest.raises(UserError, match="normal"):
        find(name)
