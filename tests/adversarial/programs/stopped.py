# mypy: ignore-errors
# tries: to stop itself (29)
# kind: script
# verdict: TIMEOUT_WALL
# compat: timeout
# limits: wall_time=0.5
import os
import signal

os.kill(os.getpid(), signal.SIGSTOP)
