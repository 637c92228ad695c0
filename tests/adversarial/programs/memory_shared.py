# mypy: ignore-errors
# tries: memory that belongs to no process: memfd and shared mappings (30)
# kind: script
# verdict: OUT_OF_MEMORY
# limits: memory_bytes=67108864
import mmap
import os

held = []
while True:
    one = mmap.mmap(-1, 8 << 20)
    one.write(b"x" * (8 << 20))
    held.append(one)
    try:
        file = os.memfd_create("hidden")
    except OSError:
        continue
    os.write(file, b"x" * (8 << 20))
