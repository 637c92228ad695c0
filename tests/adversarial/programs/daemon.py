# mypy: ignore-errors
# tries: a double fork and setsid, to survive (29)
# kind: script
# verdict: PASSED
# says: gone
import os
import sys
import time

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            time.sleep(1000)
    os._exit(0)
os.wait()
print("gone")
sys.stdout.flush()
