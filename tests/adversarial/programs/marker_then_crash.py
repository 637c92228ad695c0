# mypy: ignore-errors
# tries: to print OK and to crash (20)
# kind: unittest
# verdict: CRASHED
# compat: timeout
# says: OK
import os

print("OK", flush=True)
os.abort()
