# mypy: ignore-errors
# tries: to leave a core dump
# kind: script
# verdict: CRASHED
import os
import resource

try:
    resource.setrlimit(resource.RLIMIT_CORE, (1 << 30, 1 << 30))
except (ValueError, OSError):
    pass
os.abort()
