# mypy: ignore-errors
# tries: folders nested without end (33)
# kind: script
# verdict: DISK_LIMIT
# limits: cpu_time=20
import os

while True:
    os.mkdir("d" * 200)
    os.chdir("d" * 200)
