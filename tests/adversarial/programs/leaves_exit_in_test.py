# mypy: ignore-errors
# tries: SystemExit out of the function (17)
# kind: function_check
# verdict: EXITED_EARLY
# compat: failed: 0
def task_func(x):
    raise SystemExit(0)
