# mypy: ignore-errors
# tries: to have a child killed for memory and to go on as if nothing had happened (30)
# kind: script
# verdict: OUT_OF_MEMORY
# limits: memory_bytes=67108864
import os

if os.fork() == 0:
    held = []
    while True:
        held.append(b"x" * (1 << 20))
os.wait()
