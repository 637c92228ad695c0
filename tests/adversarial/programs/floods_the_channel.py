# mypy: ignore-errors
# tries: to flood the report's channel (25)
# kind: script
# verdict: TAMPERED
# limits: cpu_time=2
import os

for _ in range(20000):
    os.write(3, b"x" * 60000)
