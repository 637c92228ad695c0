# mypy: ignore-errors
# tries: os._exit(0) of a script, which is its right (17)
# kind: script
# verdict: PASSED
# compat: pass
import os

os._exit(0)
