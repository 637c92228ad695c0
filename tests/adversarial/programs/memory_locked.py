# mypy: ignore-errors
# tries: to lock memory (30)
# kind: script
# verdict: RUNTIME_ERROR
# says: refused
import ctypes
import sys

libc = ctypes.CDLL(None, use_errno=True)
if libc.mlockall(3) == 0:
    sys.exit(0)
held = ctypes.create_string_buffer(1 << 20)
if libc.mlock(held, len(held)) == 0:
    sys.exit(0)
print("refused")
sys.exit(1)
