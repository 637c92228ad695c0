# mypy: ignore-errors
# tries: CPU time in children that ended (31)
# kind: script
# verdict: TIMEOUT_CPU
# limits: cpu_time=0.5
import os

while True:
    if os.fork() == 0:
        sum(range(10**6))
        os._exit(0)
    os.wait()
