from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_server.model import File, FunctionCheckTask, ScriptTask, StdioCase, StdioTask, Task, UnittestTask
from sandbox_server.screening import screen


def imports(task: Task | str) -> set[str] | None:
    found = screen(ScriptTask(task) if isinstance(task, str) else task, imports=True).imports
    return None if found is None else set(found)


@pytest.mark.parametrize(
    ("source", "needed"),
    [
        ("import numpy as np, os.path", {"numpy", "os"}),
        ("from pandas.io import json", {"pandas"}),
        ("from . import x\nfrom .y import z", set()),
        ("def f():\n    class A:\n        async def g(self):\n            import a", {"a"}),
        ("for x in y:\n    import a\nelse:\n    import b\nwhile c:\n    import d", {"a", "b", "d"}),
        ("with open(x) as f:\n    import a", {"a"}),
        ("match x:\n    case 1:\n        import a", {"a"}),
        ("if x:\n    import a\nelif y:\n    import b\nelse:\n    import c", {"a", "b", "c"}),
        ("try:\n    import a\nfinally:\n    import b", {"a", "b"}),
        ("try:\n    import a\nexcept ValueError:\n    import b\nelse:\n    import c", {"a", "b", "c"}),
        # Wishes, which nobody needs.
        ("try:\n    import a\nexcept ImportError:\n    import b\nelse:\n    import c\nfinally:\n    import d", {"d"}),
        ("try:\n    import a\nexcept (KeyError, builtins.ModuleNotFoundError):\n    a = None", set()),
        ("try:\n    import a\nexcept:\n    pass", set()),
        ("try:\n    import a\nexcept* Exception:\n    pass", set()),
        ("with contextlib.suppress(ImportError):\n    import a", set()),
        ("if TYPE_CHECKING:\n    import a\nelse:\n    import b", {"b"}),
        ("if typing.TYPE_CHECKING:\n    import a", set()),
        ("x = 'import a'  # import b", set()),
    ],
)
def test_finds_what_a_program_cannot_do_without(source: str, needed: set[str]) -> None:
    assert imports(source) == needed


def test_tests_count_as_much_as_the_solution() -> None:
    assert imports(UnittestTask("import a", "import b")) == {"a", "b"}
    assert imports(FunctionCheckTask("import a", "f", "import b", ("import c", "assert f()"))) == {"a", "b", "c"}
    assert imports(StdioTask("import a", (StdioCase(b"import b", b""),))) == {"a"}


def test_tests_that_do_not_parse_leave_the_solutions_imports() -> None:
    assert imports(UnittestTask("import a", "import b\n)")) == {"a"}


def test_a_samples_own_files_are_no_needs() -> None:
    files = tuple(File(path, b"") for path in ("a.py", "b/__init__.py", "c/d.py", "notes.txt", "e.cpython-311.so"))
    assert imports(ScriptTask("import a, b.x, c.d, e, d, f", files=files)) == {"d", "f"}


def test_a_program_that_does_not_parse_imports_nobody_knows_what() -> None:
    assert imports("import a\n)") is None
    assert imports("x = " + "-" * 100_000 + "1") is None


def test_nobody_looks_unless_asked() -> None:
    assert screen(ScriptTask("import a")).imports is None


@given(st.text(alphabet="import fromas.,()\n ab:", max_size=80), st.text(max_size=40))
def test_whatever_the_sources_something_is_known_or_nothing(source: str, test: str) -> None:
    found = imports(UnittestTask(source, test))
    assert found is None or all(name.isidentifier() for name in found)
