# mypy: ignore-errors
# tries: an object that equals everything, before HumanEval's check (2)
# kind: function_check
# verdict: PASSED
# compat: passed
# Expected today: the first layer cannot see an object that equals everything. The negative control (part 4) will.
class Yes:
    __hash__ = None

    def __eq__(self, other):
        return True

    def __sub__(self, other):
        return 0


def task_func(x):
    return Yes()
