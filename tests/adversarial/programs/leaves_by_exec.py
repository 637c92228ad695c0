# mypy: ignore-errors
# tries: to become /bin/true (17)
# kind: unittest
# verdict: EXITED_EARLY
# compat: timeout
import os

os.execv("/bin/true", ["true"])
