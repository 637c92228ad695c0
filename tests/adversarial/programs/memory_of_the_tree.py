# mypy: ignore-errors
# tries: memory in many processes, each below the limit (30)
# kind: script
# verdict: OUT_OF_MEMORY
# limits: memory_bytes=100663296
import os
import time

for _ in range(6):
    if os.fork() == 0:
        held = b"x" * (40 << 20)
        time.sleep(1000)
time.sleep(1000)
