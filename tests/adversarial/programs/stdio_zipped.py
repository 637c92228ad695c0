# mypy: ignore-errors
# tries: to print less than is asked, where graders zip lines (21)
# kind: stdio
# verdict: WRONG_OUTPUT
# compat: fail
print("2")
