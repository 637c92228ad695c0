# mypy: ignore-errors
# tries: to fill /dev/shm (30)
# kind: script
# verdict: DISK_LIMIT
# limits: disk_bytes=4194304
with open("/dev/shm/big", "wb") as file:
    while True:
        file.write(b"x" * 65536)
