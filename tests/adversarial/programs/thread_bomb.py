# mypy: ignore-errors
# tries: a thread bomb (29)
# kind: script
# verdict: PROCESS_LIMIT
import threading
import time

while True:
    try:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    except RuntimeError:
        pass
