# mypy: ignore-errors
# tries: a million inodes (33)
# kind: script
# verdict: DISK_LIMIT
# limits: cpu_time=20
for number in range(10**6):
    open(str(number), "x").close()
