# mypy: ignore-errors
# tries: to kill itself (17)
# kind: unittest
# verdict: KILLED
# compat: timeout
import os

os.kill(os.getpid(), 9)
