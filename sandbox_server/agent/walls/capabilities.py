"""No capabilities, and no way to get any: what a sample's process gives up before the sample is loaded."""

from __future__ import annotations

from . import syscalls


def give_up() -> None:
    """Gives up all capabilities for good, and the right to gain any by executing a file."""
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    syscalls.drop_capabilities()
