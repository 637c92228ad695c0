# mypy: ignore-errors
# tries: output by children that outlive the sample (32)
# kind: script
# verdict: PASSED
# says: done
import os
import sys
import time

for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        while True:
            os.write(2, b"x")
            time.sleep(0.01)
print("done")
sys.stdout.flush()
