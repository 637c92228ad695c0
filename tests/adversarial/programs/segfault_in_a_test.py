# mypy: ignore-errors
# tries: a segmentation fault in a test, which BigCodeBench calls a timeout
# kind: unittest
# verdict: CRASHED
# compat: timeout
import ctypes


def task_func(x):
    ctypes.string_at(0)
