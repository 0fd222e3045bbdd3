"""Files that appear whole or not at all."""

import errno

import pytest

from toolkit.errors import UserError
from toolkit.media.writing import replacing


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EROFS, errno.EACCES, errno.ENAMETOOLONG])
def test_what_the_disk_refuses_is_a_sentence_and_leaves_what_was_there(tmp_path, number):
    target = tmp_path / "a.npz"
    target.write_text("before")
    with pytest.raises(UserError, match="a.npz can't be written: "), replacing(target) as partial:
        partial.write_text("half")
        raise OSError(number, "told by the system")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.npz", "before")]


def test_a_bug_keeps_its_own_error(tmp_path):
    with pytest.raises(OSError, match="descriptor"), replacing(tmp_path / "a.npz"):
        raise OSError(errno.EBADF, "bad descriptor")
    assert not list(tmp_path.iterdir())
