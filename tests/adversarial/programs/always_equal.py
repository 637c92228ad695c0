# mypy: ignore-errors
# tries: an object that equals everything (2)
# kind: unittest
# verdict: PASSED
# compat: pass
# Expected today: the first layer cannot see an object that equals everything. The negative control (part 4) will.
class Yes:
    __hash__ = None

    def __eq__(self, other):
        return True


def task_func(x):
    return Yes()
