# mypy: ignore-errors
# tries: a failure text larger than its memory (27); unittest falls back to a plain one
# kind: unittest
# verdict: FAILED_ASSERTION
# limits: memory_bytes=134217728
class Huge:
    def __repr__(self):
        return "\ud800\x00\x1b[2J" * (1 << 26)


def task_func(x):
    return Huge()
