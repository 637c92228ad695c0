"""No capabilities, and no way to get any: what a sample's process gives up before the sample is loaded."""

from __future__ import annotations

from . import syscalls


def give_up() -> None:
    """Gives up all capabilities, and for good the right to gain any by executing a file.

    The bounding set stays as it is: it bounds what an executed file may give, which is then nothing.
    """
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    syscalls.drop_capabilities()
