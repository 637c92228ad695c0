"""The folder of an embedded server's socket: private, and swept up even when its run was killed.

A run holds a lock in its folder for as long as it lives. A folder whose lock nobody holds is left from a run
that was killed, which cannot clean up after itself; the next run of the same user does.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "cupel-run-"
_LOCK = "lock"


class PrivateFolder:
    """A temporary folder of mode 0700."""

    def __init__(self) -> None:
        _sweep()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _sweep() -> None:
    """Removes folders of this user's killed runs. One that cannot be looked at is somebody else's."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            if folder.lstat().st_uid != os.geteuid():
                continue
            # A folder without a lock is being made at this moment.
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # its run lives
        else:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
