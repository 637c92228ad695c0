# mypy: ignore-errors
# tries: to sleep (31)
# kind: script
# verdict: TIMEOUT_WALL
# compat: timeout
# limits: wall_time=0.5
import time

time.sleep(1000)
