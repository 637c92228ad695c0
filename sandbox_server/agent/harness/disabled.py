"""Takes names away from a sample, because the original harness of its dataset does.

This is for equal scores, not for safety: what a sample may do is decided by the walls.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from types import ModuleType
from typing import Any, FrozenSet, List, Optional, Sequence

# What HumanEval's guard patches: imported here, once, rather than for every sample.
_PRELOADED = (shutil, subprocess)
_LIBRARY = os.path.dirname(os.__file__)
# What was replaced is kept: to free a function in a forked process copies every memory page it has parts in.
_kept: List[Any] = []


def disable(names: Sequence[str]) -> None:
    """Sets names to None: a dotted one in its module, one without a dot as a module that cannot be imported.

    A module of the standard library is imported for it; any other that is not there yet becomes one that
    cannot be imported, since the part of it that may be used is not known.
    """
    modules: Any = sys.modules
    for name in names:
        parent, _, attribute = name.rpartition(".")
        if not parent:
            modules[name] = None
            continue
        owner = _owner(parent)
        if owner is None:
            modules[parent.partition(".")[0]] = None
        else:
            _replace(owner, attribute)


def _is_of_the_standard_library(name: str) -> bool:
    names: Optional[FrozenSet[str]] = getattr(sys, "stdlib_module_names", None)
    if names is not None:
        return name in names
    # Python before 3.10 does not list it.
    spec = importlib.util.find_spec(name)
    origin = spec.origin if spec is not None and spec.origin is not None else ""
    return origin == "built-in" or (origin.startswith(_LIBRARY) and "site-packages" not in origin)


def _replace(owner: Any, attribute: str) -> None:
    _kept.append(getattr(owner, attribute, None))
    if type(owner) is ModuleType:
        # Past setattr, whose look-ups copy forty more memory pages of a forked process.
        vars(owner)[attribute] = None
    else:
        setattr(owner, attribute, None)


def _owner(path: str) -> Optional[Any]:
    """Returns what a dotted path names: a module or a class in one; None if it is not there."""
    head, _, rest = path.partition(".")
    module = sys.modules.get(head)
    if module is None:
        if head in sys.modules or not _is_of_the_standard_library(head):
            return None
        module = importlib.import_module(head)
    owner: Any = module
    taken = head
    for part in rest.split(".") if rest else ():
        taken = "%s.%s" % (taken, part)
        if hasattr(owner, part):
            owner = getattr(owner, part)
        elif taken not in sys.modules and _is_of_the_standard_library(head):
            owner = importlib.import_module(taken)
        else:
            return None
    return owner
