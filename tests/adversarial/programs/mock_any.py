# mypy: ignore-errors
# tries: mock.ANY (3)
# kind: unittest
# verdict: PASSED
# compat: pass
# Expected today: the first layer cannot see an object that equals everything. The negative control (part 4) will.
from unittest import mock


def task_func(x):
    return mock.ANY
