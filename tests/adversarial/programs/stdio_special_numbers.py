# mypy: ignore-errors
# tries: nan and inf, which compare as nothing does (21)
# kind: stdio
# verdict: WRONG_OUTPUT
# compat: fail
print("nan")
print("inf")
print("-inf")
