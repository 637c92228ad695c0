# mypy: ignore-errors
# tries: to close and write to every descriptor (25)
# kind: script
# verdict: PASSED
import os

for descriptor in range(4, 1024):
    try:
        os.write(descriptor, b"x" * 100)
    except OSError:
        pass
for descriptor in range(1024):
    try:
        os.close(descriptor)
    except OSError:
        pass
