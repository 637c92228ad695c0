# mypy: ignore-errors
# tries: a segmentation fault
# kind: script
# verdict: CRASHED
import ctypes

ctypes.string_at(0)
