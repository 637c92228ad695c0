# mypy: ignore-errors
# tries: to ignore every signal (29)
# kind: script
# verdict: TIMEOUT_WALL
# compat: timeout
# limits: wall_time=0.5
import signal
import time

for number in signal.valid_signals():
    try:
        signal.signal(number, signal.SIG_IGN)
    except OSError:
        pass
while True:
    try:
        time.sleep(1000)
    except BaseException:
        pass
