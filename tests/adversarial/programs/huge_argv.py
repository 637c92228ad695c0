# mypy: ignore-errors
# tries: arguments larger than the kernel takes (29)
# kind: script
# verdict: RUNTIME_ERROR
import os

os.execv("/bin/true", ["true", *["x" * 100_000] * 1000])
