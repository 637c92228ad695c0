# mypy: ignore-errors
# tries: a sparse file of a terabyte (33)
# kind: script
# verdict: DISK_LIMIT
with open("sparse", "wb") as file:
    file.truncate(1 << 40)
