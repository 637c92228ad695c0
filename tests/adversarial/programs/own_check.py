# mypy: ignore-errors
# tries: a check of its own, with its name kept by a dict that forgets (22)
# kind: function_check
# verdict: FAILED_ASSERTION
# compat: failed:
def check(candidate):
    pass


def task_func(x):
    return -1
