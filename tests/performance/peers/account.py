"""Who runs the originals, which have no sandbox: the user who measures, but never root where that can be helped.

As root a reference solution writes where it is meant to fail (BigCodeBench/832), and the verdict is another one.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_NAME = "nobody"


@dataclass(frozen=True, slots=True)
class Account:
    """The account of a peer's processes: another one's, or with no ids the user's own."""

    user: int | None = None
    group: int | None = None

    @classmethod
    def ordinary(cls) -> Account:
        """Returns the user's own, or another than root's if that is the user's."""
        if os.geteuid() != 0:
            return OWN
        try:
            entry = pwd.getpwnam(_NAME)
        except KeyError:
            return OWN
        return cls(entry.pw_uid, entry.pw_gid)

    @property
    def is_root(self) -> bool:
        """Whether it is root's after all."""
        return self.user is None and os.geteuid() == 0

    @property
    def switches(self) -> dict[str, Any]:
        """What `subprocess` is told."""
        if self.user is None:
            return {}
        return {"user": self.user, "group": self.group, "extra_groups": ()}

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that name it."""
        return {} if self.user is None else {"USER": _NAME, "LOGNAME": _NAME}

    def can_run(self, interpreter: str, program: str = "") -> bool:
        """Returns whether it may start an interpreter, and a program ends well there."""
        try:
            done = subprocess.run(
                [interpreter, "-c", program], capture_output=True, check=False, cwd="/", **self.switches
            )
        except OSError:  # not there, or in a folder that is closed to this account
            return False
        return done.returncode == 0

    def owns(self, folder: Path) -> Path:
        """Makes a folder unless it is there, and gives it to this account with all that is in it."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.user is not None:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, self.user, self.group or 0, follow_symlinks=False)
        return folder


OWN = Account()
"""The user's own."""
