# mypy: ignore-errors
# tries: a failure text of a megabyte, with surrogates and escapes (27)
# kind: unittest
# verdict: FAILED_ASSERTION
# compat: fail
class Long:
    def __repr__(self):
        return "\ud800\x00\x1b[2J\u202e" * (1 << 18)


def task_func(x):
    return Long()
