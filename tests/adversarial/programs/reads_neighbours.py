# mypy: ignore-errors
# tries: to find files and processes of another cell (35)
# kind: script
# verdict: RUNTIME_ERROR
# says: refused
import os
import sys
import time

secret = sys.argv[6]
end = time.monotonic() + 0.3
while time.monotonic() < end:
    for folder in (
        "/",
        "/tmp",
        "/var/tmp",
        "/dev/shm",
        "/cell",
        "/run",
        "/proc",
        "/proc/1",
        "/proc/1/root",
        "/proc/1/cwd",
        "..",
    ):
        try:
            found = os.listdir(folder)
        except OSError:
            continue
        if any(secret in name for name in found):
            sys.exit(0)
    if {int(name) for name in os.listdir("/proc") if name.isdigit()} - {1, os.getpid()}:
        sys.exit(0)
print("refused")
sys.exit(1)
