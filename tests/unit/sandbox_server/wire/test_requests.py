from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cupel_client.gen import sandbox_service_pb2 as pb
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from sandbox_server.errors import LimitAboveMaximumError, RequestError
from sandbox_server.model import (
    Comparison,
    ComparisonMode,
    Environment,
    File,
    FunctionCheckTask,
    Isolation,
    Limits,
    Policy,
    ScriptTask,
    StdioCase,
    StdioTask,
    UnittestTask,
)
from sandbox_server.packages import PackageRequirement
from sandbox_server.wire import Rules, read_sample

MAXIMUM = Limits(cpu_time=timedelta(seconds=90), wall_time=timedelta(seconds=90), memory_bytes=2 << 30)
ENVIRONMENTS = (
    Environment("old", "d", "3.8.0", packages={"numpy": "1.24.0"}, modules=frozenset({"numpy"})),
    Environment("local", "d", "3.11.7"),
)
BOUNDS: dict[str, Any] = {"maximum_limits": MAXIMUM, "maximum_source_bytes": 1000, "maximum_sample_bytes": 4000}
RULES = Rules(lambda: ENVIRONMENTS[1:], "local", **BOUNDS)
SEVERAL = replace(RULES, environments=lambda: ENVIRONMENTS)
CHECK: dict[str, Any] = {"solution": "s", "entry_point": "f", "check": "c"}


def message(**fields: Any) -> pb.Sample:
    if not {"script", "unittest", "function_check", "stdio"} & set(fields):
        fields["function_check"] = pb.FunctionCheckTask(**CHECK)
    return pb.Sample(**{"sample_id": "s", **fields})


def test_what_is_absent_takes_its_default() -> None:
    sample = read_sample(message(), RULES)
    assert (sample.sample_id, sample.attempt, sample.environment, sample.seed) == ("s", 1, "local", 0)
    assert (sample.limits, sample.isolation, sample.policy) == (Limits(), Isolation.CELL, Policy.PERMISSIVE)
    assert sample.task == FunctionCheckTask("s", "f", "c")


def test_what_is_present_is_kept() -> None:
    sample = read_sample(
        message(
            attempt=2,
            environment="old",
            seed=-5,
            priority=-1,
            policy=pb.POLICY_STRICT,
            isolation=pb.ISOLATION_CELL,
            trace_context="00-" + "a" * 32 + "-" + "b" * 16 + "-01",
            environment_variables={"B": "2", "A": "1"},
            limits=pb.Limits(cpu_time=Duration(seconds=1, nanos=500_000_000), processes=3),
            packages=[pb.PackageRequirement(module="np", package="NumPy", versions=">=1.20, <2")],
        ),
        SEVERAL,
    )
    assert (sample.attempt, sample.environment, sample.seed, sample.priority) == (2, "old", -5, -1)
    assert sample.packages == (PackageRequirement("np", "numpy", ">=1.20,<2"),)
    assert sample.policy is Policy.STRICT
    assert sample.trace_context.startswith("00-aaa")
    assert sample.environment_variables == (("A", "1"), ("B", "2"))
    assert sample.limits == Limits().with_requested({"cpu_time": timedelta(seconds=1.5), "processes": 3})


@pytest.mark.parametrize(
    ("fields", "task"),
    [
        (
            {
                "script": pb.ScriptTask(
                    source="s",
                    arguments=["-x"],
                    stdin=b"\xff",
                    files=[pb.File(path="a/b", content=b"c")],
                    collect=["out"],
                )
            },
            ScriptTask("s", ("-x",), b"\xff", (File("a/b", b"c"),), ("out",)),
        ),
        ({"unittest": pb.UnittestTask(solution="s", test="t")}, UnittestTask("s", "t")),
        (
            {
                "unittest": pb.UnittestTask(
                    solution="s",
                    test="t",
                    test_class="C",
                    entry_point="f",
                    module_name="m.n",
                    disabled_names=["builtins.exit"],
                )
            },
            UnittestTask("s", "t", "C", "f", "m.n", ("builtins.exit",)),
        ),
        (
            {
                "function_check": pb.FunctionCheckTask(
                    solution="s", entry_point="f", assertions=["assert f()"], disabled_names=["os.kill"]
                )
            },
            FunctionCheckTask("s", "f", "", ("assert f()",), ("os.kill",)),
        ),
        (
            {"stdio": pb.StdioTask(source="s", cases=[pb.StdioCase(stdin=b"i", expected_stdout=b"o")])},
            StdioTask("s", (StdioCase(b"i", b"o"),), Comparison(ComparisonMode.TOKENS, 1e-9, 1e-9)),
        ),
        (
            {
                "stdio": pb.StdioTask(
                    cases=[pb.StdioCase()],
                    comparison=pb.Comparison(mode=pb.COMPARISON_MODE_FLOATS, absolute_tolerance=0.5),
                    stop_at_first_failure=True,
                )
            },
            StdioTask("", (StdioCase(b"", b""),), Comparison(ComparisonMode.FLOATS, 0.5, 1e-9), True),
        ),
    ],
)
def test_reads_each_task_kind(fields: Any, task: Any) -> None:
    assert read_sample(message(**fields), RULES).task == task


def test_unknown_enum_values_mean_what_the_contract_says() -> None:
    sample = read_sample(
        message(
            policy=99,
            isolation=99,
            stdio=pb.StdioTask(cases=[pb.StdioCase()], comparison=pb.Comparison(mode=99)),  # type: ignore[arg-type]  # a value of tomorrow
        ),
        RULES,
    )
    assert (sample.policy, sample.isolation) == (Policy.PERMISSIVE, Isolation.CELL)
    assert isinstance(sample.task, StdioTask)
    assert sample.task.comparison.mode is ComparisonMode.TOKENS


def script(**fields: Any) -> dict[str, Any]:
    return {"script": pb.ScriptTask(**fields)}


def package(**fields: Any) -> dict[str, Any]:
    return {"packages": [pb.PackageRequirement(**fields)]}


def check(**fields: Any) -> dict[str, Any]:
    return {"function_check": pb.FunctionCheckTask(**{**CHECK, **fields})}


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"sample_id": ""}, "FIELD_MISSING", "sample_id"),
        ({"sample_id": "x" * 513}, "FIELD_INVALID", "sample_id"),
        ({"attempt": -1}, "FIELD_INVALID", "attempt"),
        ({"environment": "new"}, "UNKNOWN_ENVIRONMENT", "environment"),
        ({"isolation": pb.ISOLATION_CONTAINER}, "ISOLATION_UNAVAILABLE", "isolation"),
        ({"trace_context": "00-xyz"}, "FIELD_INVALID", "trace_context"),
        ({"environment_variables": {"A=B": "1"}}, "FIELD_INVALID", "environment_variables"),
        ({"environment_variables": {"": "1"}}, "FIELD_INVALID", "environment_variables"),
        ({"environment_variables": {"A": "\0"}}, "FIELD_INVALID", "environment_variables.A"),
        ({"limits": pb.Limits(processes=-1)}, "FIELD_INVALID", "limits.processes"),
        ({"limits": pb.Limits(memory_bytes=1)}, "FIELD_INVALID", "limits.memory_bytes"),
        ({"limits": pb.Limits(cpu_time=Duration(seconds=-1))}, "FIELD_INVALID", "limits.cpu_time"),
        (
            {"limits": pb.Limits(cpu_time=Duration(nanos=-1))},
            "FIELD_INVALID",
            "limits.cpu_time",
        ),
        ({"packages": [pb.PackageRequirement()]}, "FIELD_MISSING", "packages[0]"),
        (package(module="sk learn"), "FIELD_INVALID", "packages[0].module"),
        (package(module="a" * 101), "FIELD_INVALID", "packages[0].module"),
        (package(module="\u00e9"), "FIELD_INVALID", "packages[0].module"),
        (package(package="x; rm -rf ~"), "FIELD_INVALID", "packages[0].package"),
        (package(package="-x"), "FIELD_INVALID", "packages[0].package"),
        (package(package="x", versions="1.2"), "FIELD_INVALID", "packages[0].versions"),
        (package(package="x", versions="=="), "FIELD_INVALID", "packages[0].versions"),
        (package(package="x", versions=">=1\n,<2"), "FIELD_INVALID", "packages[0].versions"),
        (package(package="x", versions=">=" + "1" * 100), "FIELD_INVALID", "packages[0].versions"),
        ({"packages": [pb.PackageRequirement(module="x")] * 101}, "FIELD_INVALID", "packages"),
        (package(package="pandas"), "MISSING_PACKAGES", "packages"),
        (script(source="x" * 1001), "SOURCE_TOO_LARGE", "script.source"),
        (script(stdin=b"x" * 5000), "SOURCE_TOO_LARGE", "sample"),
        (script(arguments=["\0"]), "FIELD_INVALID", "script.arguments"),
        (script(files=[pb.File(path="/x")]), "FIELD_INVALID", "script.files"),
        (script(files=[pb.File(path="a/../x")]), "FIELD_INVALID", "script.files"),
        (script(files=[pb.File(path="")]), "FIELD_INVALID", "script.files"),
        (script(files=[pb.File(path="a\0")]), "FIELD_INVALID", "script.files"),
        (script(files=[pb.File(path="a"), pb.File(path="a")]), "FIELD_INVALID", "script.files"),
        (script(collect=["a//b"]), "FIELD_INVALID", "script.collect"),
        (check(entry_point=""), "FIELD_MISSING", "function_check.entry_point"),
        (check(entry_point="f()"), "FIELD_INVALID", "function_check.entry_point"),
        (check(check=""), "FIELD_MISSING", "function_check.check"),
        (check(disabled_names=["os system"]), "FIELD_INVALID", "function_check.disabled_names"),
        (check(assertions=["x" * 600, "y" * 600]), "SOURCE_TOO_LARGE", "function_check.assertions"),
        (check(solution="\u20ac" * 500), "SOURCE_TOO_LARGE", "function_check.solution"),
        ({"unittest": pb.UnittestTask(solution="s")}, "FIELD_MISSING", "unittest.test"),
        (
            {"unittest": pb.UnittestTask(test="t", test_class="a b")},
            "FIELD_INVALID",
            "unittest.test_class",
        ),
        (
            {"unittest": pb.UnittestTask(test="t", module_name="a.")},
            "FIELD_INVALID",
            "unittest.module_name",
        ),
        ({"stdio": pb.StdioTask()}, "FIELD_MISSING", "stdio.cases"),
        (
            {"stdio": pb.StdioTask(cases=[pb.StdioCase()], comparison=pb.Comparison(absolute_tolerance=-1))},
            "FIELD_INVALID",
            "stdio.comparison.absolute_tolerance",
        ),
        (
            {"stdio": pb.StdioTask(cases=[pb.StdioCase()], comparison=pb.Comparison(relative_tolerance=float("nan")))},
            "FIELD_INVALID",
            "stdio.comparison.relative_tolerance",
        ),
    ],
)
def test_what_breaks_a_rule_is_named(fields: Any, reason: str, field: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_sample(message(**fields), RULES)
    assert (caught.value.reason, caught.value.metadata["field"]) == (reason, field)
    assert len(caught.value.message) < 400


def test_an_environment_is_left_open_only_where_imports_must_decide() -> None:
    assert read_sample(message(), RULES).environment == "local"
    assert not read_sample(message(), SEVERAL).environment
    assert read_sample(message(**package(module="numpy")), SEVERAL).environment == "old"
    assert read_sample(message(environment="local"), SEVERAL).environment == "local"


def test_environments_are_those_of_now() -> None:
    now = list(ENVIRONMENTS)
    rules = replace(RULES, environments=lambda: now)
    assert read_sample(message(environment="old"), rules).environment == "old"
    del now[0]
    with pytest.raises(RequestError, match="this server has local"):
        read_sample(message(environment="old"), rules)


def test_a_sample_without_a_task_is_refused() -> None:
    with pytest.raises(RequestError, match="no task"):
        read_sample(pb.Sample(sample_id="s"), RULES)


def test_a_limit_above_the_maximum_is_refused_and_never_clamped() -> None:
    read_sample(message(limits=pb.Limits(cpu_time=Duration(seconds=90))), RULES)
    above = pb.Limits(cpu_time=Duration(seconds=90, nanos=1000))
    with pytest.raises(LimitAboveMaximumError) as caught:
        read_sample(message(limits=above), RULES)
    assert caught.value.metadata["maximum"] == "90s"
    for seconds in (10**12, 2**63 - 1):
        with pytest.raises(LimitAboveMaximumError):
            read_sample(message(limits=pb.Limits(cpu_time=Duration(seconds=seconds))), RULES)


@given(st.binary(max_size=300))
def test_any_message_is_a_sample_or_a_request_error(data: bytes) -> None:
    sample = pb.Sample()
    try:
        sample.ParseFromString(data)
    except Exception:  # noqa: BLE001 -- not a message at all; gRPC refuses it before the server sees it
        return
    try:
        read_sample(sample, RULES)
    except RequestError as error:
        assert error.reason  # noqa: PT017 -- both ends are allowed, and nothing else


@given(st.text(max_size=600), st.text(max_size=30), st.text(max_size=30), st.integers(-(2**31), 2**31 - 1))
def test_any_text_is_a_sample_or_a_request_error(sample_id: str, entry_point: str, path: str, count: int) -> None:
    fields: Any
    for fields in (
        check(entry_point=entry_point, disabled_names=[path]),
        script(files=[pb.File(path=path)], arguments=[entry_point]),
        {"limits": pb.Limits(processes=count, memory_bytes=count, open_files=count)},
        package(module=entry_point, package=path, versions=sample_id),
        package(package="numpy", versions=path),
    ):
        try:
            sample = read_sample(message(**{"sample_id": sample_id, **fields}), RULES)
        except RequestError as error:
            assert error.reason  # noqa: PT017 -- as above
        else:
            assert sample.sample_id == sample_id
