# mypy: ignore-errors
# tries: to ask for tests and never to read them (25)
# kind: unittest
# verdict: TIMEOUT_WALL
# compat: timeout
# limits: wall_time=0.5
import os
import time

os.write(3, b'{"loaded": true}')
time.sleep(1000)
