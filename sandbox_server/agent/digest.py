"""What pins an environment's content: a digest of the interpreter and of what is installed in it."""

from __future__ import annotations

import os
import sys


def of_interpreter() -> str:
    """Returns "sha256:..." over the interpreter's version, its platform, and every distribution with its version.

    A child computes it: what that imports would otherwise be in the memory that each cell is forked from.
    """
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write_end, _compute().encode("ascii"))
        finally:
            os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as file:
        digest = file.read().decode("ascii")
    os.waitpid(pid, 0)
    return digest


def _compute() -> str:
    import hashlib  # noqa: PLC0415 -- see of_interpreter
    from importlib import metadata  # noqa: PLC0415 -- see of_interpreter

    lines = [sys.version, sys.platform, os.uname().machine]
    lines += sorted("%s==%s" % (one.metadata["Name"], one.version) for one in metadata.distributions())
    return "sha256:" + hashlib.sha256("\n".join(lines).encode("utf-8", "replace")).hexdigest()
