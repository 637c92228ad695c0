# mypy: ignore-errors
# tries: sys.exit(0) while it is loaded (17)
# kind: unittest
# verdict: EXITED_EARLY
# compat: fail
import sys

sys.exit(0)
