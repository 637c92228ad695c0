# mypy: ignore-errors
# tries: ten gigabytes of output (32)
# kind: script
# verdict: OUTPUT_LIMIT
import os

line = b"x" * (1 << 20)
for _ in range(10 << 10):
    os.write(1, line)
