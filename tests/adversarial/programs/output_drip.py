# mypy: ignore-errors
# tries: output without a newline, a byte at a time, on both streams (32)
# kind: script
# verdict: OUTPUT_LIMIT
# limits: output_bytes=20000
import os

while True:
    os.write(1, b".")
    os.write(2, b"!")
