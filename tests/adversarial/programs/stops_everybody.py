# mypy: ignore-errors
# tries: to stop everybody it can reach (29)
# kind: script
# verdict: TIMEOUT_WALL
# compat: timeout
# limits: wall_time=0.5
import os
import signal
import time

if os.fork() == 0:
    time.sleep(1000)
for pid in (-1, 1, os.getppid(), 0):
    try:
        os.kill(pid, signal.SIGSTOP)
    except OSError:
        pass
time.sleep(1000)
