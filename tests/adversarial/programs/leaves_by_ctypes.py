# mypy: ignore-errors
# tries: _exit by ctypes (17)
# kind: unittest
# verdict: EXITED_EARLY
# compat: timeout
import ctypes

ctypes.CDLL(None)._exit(0)
