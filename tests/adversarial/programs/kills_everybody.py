# mypy: ignore-errors
# tries: to kill its cell's first process, its parent and everybody (29)
# kind: script
# verdict: PASSED
# says: alive
# Everybody it can reach is its own child: it harms nobody, and goes on.
import os
import signal
import time

if os.fork() == 0:
    time.sleep(1000)
for pid in {1, os.getppid(), -1} - {0}:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGSEGV, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except OSError:
            pass
print("alive")
