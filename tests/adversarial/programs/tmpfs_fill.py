# mypy: ignore-errors
# tries: to fill its file system (30)
# kind: script
# verdict: DISK_LIMIT
# limits: disk_bytes=4194304
number = 0
while True:
    number += 1
    with open(f"/tmp/file{number}", "wb") as file:
        file.write(b"x" * (1 << 20))
