"""What pins an environment's content: a digest of the interpreter and of what is installed in it."""

from __future__ import annotations

import hashlib
import os
import sys
from importlib import metadata


def of_interpreter() -> str:
    """Returns "sha256:..." over the interpreter's version, its platform, and every distribution with its version."""
    lines = [sys.version, sys.platform, os.uname().machine]
    lines += sorted("%s==%s" % (one.metadata["Name"], one.version) for one in metadata.distributions())
    return "sha256:" + hashlib.sha256("\n".join(lines).encode("utf-8", "replace")).hexdigest()
