"""What of unittest judges a sample: the parts that `integrity` watches where tests are unittest's."""

from __future__ import annotations

import sys
import unittest
import unittest.case
import unittest.loader
import unittest.result
import unittest.suite
import unittest.util
from types import FunctionType, ModuleType
from typing import Any, Dict, List, Sequence, Tuple

from . import pristine
from .integrity import Framework, Function, Part, inside

__builtins__ = pristine.BUILTINS
__unittest = True

# Any, because two of them are private: real cheats patch those too.
_case: Any = unittest.case
_CLASSES: Tuple[type, ...] = (
    _case.TestCase,
    _case.FunctionTestCase,
    _case._SubTest,  # noqa: SLF001  # see above
    _case._Outcome,  # noqa: SLF001  # see above
    unittest.suite.BaseTestSuite,
    unittest.suite.TestSuite,
    unittest.loader.TestLoader,
    unittest.result.TestResult,
)
_MODULES = (unittest, unittest.case, unittest.suite, unittest.loader, unittest.result, unittest.util)
# Imported by the sample or by a preload profile; what was not there when the snapshot was taken is not
# compared.
_MOCK = "unittest.mock"


def parts() -> Framework:
    """Returns the parts of unittest, and of its mock where that is imported."""
    mock = _parts_of_mock()
    return [*_FRAMEWORK, *mock], [*_FRAMEWORK_FUNCTIONS, *_functions_of(mock)]


def _own_parts(module: ModuleType) -> Dict[str, Any]:
    """Returns the functions and classes of a module: other attributes are settings, or set as it is used."""
    return {name: value for name, value in vars(module).items() if isinstance(value, (FunctionType, type))}


def _functions_of(parts: Sequence[Part]) -> List[Function]:
    return [
        ("%s.%s" % (owner.__name__, name), value, inside(value))
        for owner, values in parts
        for name, value in values.items()
        if type(value) is FunctionType
    ]


def _parts_of_mock() -> List[Part]:
    mock = sys.modules.get(_MOCK)
    if mock is None:
        return []
    parts = _own_parts(mock)
    classes = [one for one in parts.values() if isinstance(one, type) and one.__module__ == _MOCK]
    return [(mock, parts), *((one, dict(vars(one))) for one in classes)]


# Of the zygote's time, when no sample can have changed it: for every sample it would cost a millisecond.
_FRAMEWORK: List[Part] = [
    *((one, dict(vars(one))) for one in _CLASSES),
    *((one, _own_parts(one)) for one in _MODULES),
]
_FRAMEWORK_FUNCTIONS = _functions_of(_FRAMEWORK)
