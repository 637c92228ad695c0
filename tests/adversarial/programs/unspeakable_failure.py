# mypy: ignore-errors
# tries: an object whose repr, hash and equality raise (27)
# kind: unittest
# verdict: RUNTIME_ERROR
# compat: fail
class Unspeakable(Exception):
    def __repr__(self):
        raise self

    __str__ = __hash__ = __repr__

    def __eq__(self, other):
        raise self


def task_func(x):
    return Unspeakable()
