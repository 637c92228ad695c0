"""Says which module an environment lacks, and how to get one that has it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sandbox_server.packages import STANDARD_LIBRARY, build_command, provider_of

if TYPE_CHECKING:
    from sandbox_server.model import Environment

_NO_MODULE = re.compile(r"No module named '([A-Za-z_][A-Za-z0-9_.]{0,99})'")


def lacking(explanation: str, environment: Environment) -> str:
    """Returns what to add to the explanation of a sample whose import failed; empty where there is nothing to say.

    The sample's process said that a module is missing, and can say so of any: an environment that has it, by its
    inventory, is not said to lack it, and no package is named after what the sample said.
    """
    found = _NO_MODULE.search(explanation)
    if found is None or found[1] in environment.modules:
        return ""
    module = found[1]
    lacks = f"The environment {environment.name!r} lacks {module!r}."
    if module.partition(".")[0] in STANDARD_LIBRARY:
        return lacks
    package = provider_of(module)
    build = build_command(environment.name, package or "PACKAGE")
    if package:
        return f"{lacks} One that has it: `{build}`, or install that for the interpreter of a local one."
    return f"{lacks} One that has it: `{build}`, with the package that provides it."
