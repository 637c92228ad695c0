# mypy: ignore-errors
# tries: honest code that prints FAILED, which must pass (20)
# kind: unittest
# verdict: PASSED
# compat: pass
# says: FAILED
def task_func(x):
    print("FAILED (failures=2)", flush=True)
    return x + 1
