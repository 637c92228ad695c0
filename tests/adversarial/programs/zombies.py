# mypy: ignore-errors
# tries: to fill the process table with children that nobody waits for (29)
# kind: script
# verdict: PROCESS_LIMIT
import os

while True:
    if os.fork() == 0:
        os._exit(0)
