# mypy: ignore-errors
# tries: os._exit(0) while it is loaded (17)
# kind: unittest
# verdict: EXITED_EARLY
# compat: timeout
import os

os._exit(0)
