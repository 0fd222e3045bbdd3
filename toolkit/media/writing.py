"""Files that appear whole or not at all: written under a temporary name, then moved into place."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolkit.errors import UserError

NOT_OUR_FAULT = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    *(errno.ENOTDIR, errno.EEXIST, errno.EIO, errno.ENAMETOOLONG),
)
"""Errors of writing that a person can put right: another place, or more room in this one."""


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it is moved to `path` at the end, or removed if anything is raised.

    Raises:
        UserError: the folder does not exist or has no room, or `path` is a folder or can't be written.
    """
    target = Path(path)
    if target.is_dir():
        raise UserError(f"{target} is a folder, but a file name is needed to write to.")
    if not target.parent.is_dir():
        raise UserError(f"The folder {target.parent} does not exist, so {target.name} can't be written there.")
    # Same folder, so that the move is atomic; the process id keeps two writers apart.
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, target)
    except OSError as error:
        if error.errno not in NOT_OUR_FAULT:
            raise
        raise UserError(f"{target} can't be written: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)
