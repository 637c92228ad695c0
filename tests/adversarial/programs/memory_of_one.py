# mypy: ignore-errors
# tries: more memory than there is, touched (30)
# kind: script
# verdict: OUT_OF_MEMORY
# limits: memory_bytes=67108864
held = []
while True:
    held.append(b"x" * (1 << 20))
