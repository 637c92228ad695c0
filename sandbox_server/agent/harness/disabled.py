"""Takes names away from a sample, because the original harness of its dataset does.

This is for equal scores, not for safety: what a sample may do is decided by the walls.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from types import ModuleType
from typing import Any, FrozenSet, List, Optional, Sequence

# What HumanEval's guard patches: imported here, once, rather than for every sample.
_PRELOADED = (shutil, subprocess)
# Python 3.8 and 3.9 do not list their standard library; what is known to be named in datasets is enough
# there.
_STDLIB: FrozenSet[str] = getattr(
    sys, "stdlib_module_names", frozenset(sys.builtin_module_names) | {one.__name__ for one in _PRELOADED}
)


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
        if head not in _STDLIB or head in sys.modules:
            return None
        module = importlib.import_module(head)
    owner: Any = module
    taken = head
    for part in rest.split(".") if rest else ():
        taken = "%s.%s" % (taken, part)
        if hasattr(owner, part):
            owner = getattr(owner, part)
        elif head in _STDLIB and taken not in sys.modules:
            owner = importlib.import_module(taken)
        else:
            return None
    return owner
