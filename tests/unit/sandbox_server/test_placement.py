from __future__ import annotations

import shlex
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_server.errors import MissingPackagesError, UnknownEnvironmentError
from sandbox_server.model import Environment, Limits, Sample, ScriptTask
from sandbox_server.packages import PackageRequirement, missing_of, normalized, provider_of
from sandbox_server.placement import by_imports, by_request, placed


def environment(name: str, packages: dict[str, str], *modules: str) -> Environment:
    return Environment(name, f"sha256:{name}", "3.11.7", (), packages, frozenset(modules))


PYTHON = environment("python", {"pip": "23.0"}, "pip")
SCIENTIFIC = environment(
    "scientific", {"pip": "23.0", "numpy": "1.26.4", "scikit-learn": "1.5.0"}, "pip", "numpy", "sklearn"
)
WEB = environment("web", {"pip": "23.0", "requests": "2.31", "flask": "3.0"}, "pip", "requests", "flask")
EVERYTHING = environment(
    "everything",
    {"numpy": "2.1.0rc1", "scikit-learn": "1.6", "requests": "2.31", "opencv-python": "4.9"},
    "numpy", "sklearn", "requests", "cv2",
)  # fmt: skip
ALL = (EVERYTHING, WEB, SCIENTIFIC, PYTHON)


def need(module: str = "", package: str = "", versions: str = "") -> PackageRequirement:
    return PackageRequirement(module, package, versions)


@pytest.mark.parametrize(
    ("imports", "chosen"),
    [
        ((), "python"),
        (("os", "json", "distutils"), "python"),
        (("numpy", "os"), "scientific"),
        (("numpy", "sklearn"), "scientific"),
        (("numpy", "requests"), "everything"),
        (("flask",), "web"),
    ],
)
def test_the_smallest_environment_that_has_all_imports_is_chosen(imports: tuple[str, ...], chosen: str) -> None:
    for default in ("python", "everything", "gone"):
        assert by_imports(imports, (), ALL, default).name == chosen


def test_among_equals_the_default_is_first() -> None:
    twins = (environment("a", {"x": "1"}, "x"), environment("b", {"x": "1"}, "x"))
    assert by_imports(("x",), (), twins, "b").name == "b"
    assert by_imports(("x",), (), twins, "gone").name == "a"


def test_if_none_has_all_imports_the_one_with_most_is_chosen() -> None:
    assert by_imports(("numpy", "nowhere"), (), (WEB, SCIENTIFIC, PYTHON), "web") is SCIENTIFIC
    assert by_imports(("nowhere",), (), ALL, "web") is WEB
    assert by_imports(("nowhere",), (), ALL, "gone") is PYTHON


def test_unknown_imports_are_a_case_for_the_default() -> None:
    assert by_imports(None, (), ALL, "web") is WEB
    assert by_imports(None, (), ALL, "gone") is PYTHON


NAMES = st.sampled_from(["numpy", "requests", "flask", "sklearn", "os", "nowhere", "pip"])


@given(st.frozensets(NAMES), st.permutations(ALL), st.sampled_from([one.name for one in ALL]))
def test_the_choice_hangs_on_no_order_and_nobody_lacks_less(
    imports: frozenset[str], environments: list[Environment], default: str
) -> None:
    chosen = by_imports(imports, (), environments, default)
    assert chosen is by_imports(imports, (), ALL, default)
    lacked = {one.name: len(imports - one.modules - {"os"}) for one in ALL}
    assert lacked[chosen.name] == min(lacked.values())


def test_one_environment_is_everybodys() -> None:
    assert by_request("", (), (PYTHON,), "other") is PYTHON
    assert by_request("", (), ALL, "python") is None


def test_a_named_environment_is_taken_or_unknown() -> None:
    assert by_request("web", (), ALL, "python") is WEB
    with pytest.raises(UnknownEnvironmentError, match="this server has everything, web, scientific, python"):
        by_request("mars", (), ALL, "python")


def test_declared_packages_decide_before_imports() -> None:
    assert by_request("", (need("numpy", versions=">=2"),), ALL, "python") is EVERYTHING
    assert by_request("", (need("flask"),), ALL, "python") is WEB


def test_where_several_have_what_is_declared_imports_decide_among_them() -> None:
    numpy = (need("numpy"),)
    assert by_request("", numpy, ALL, "python") is None
    assert by_imports((), numpy, ALL, "python") is SCIENTIFIC
    assert by_imports(("requests",), numpy, ALL, "python") is EVERYTHING
    assert by_imports(("flask",), numpy, ALL, "everything") is EVERYTHING
    assert by_imports(None, numpy, ALL, "python") is SCIENTIFIC


def test_a_server_without_environments_refuses_no_packages() -> None:
    assert by_request("", (need("numpy"),), (), "python") is None


def test_workers_that_were_replaced_meanwhile_leave_no_sample_without_an_environment() -> None:
    assert by_imports(("flask",), (need("gone"),), ALL, "python") is WEB


def test_what_no_environment_has_is_refused_with_the_nearest_and_what_to_do() -> None:
    wanted = (need("numpy"), need("yaml", "pyyaml"), need(package="nltk", versions=">=3.8,<4"))
    with pytest.raises(MissingPackagesError) as caught:
        by_request("", wanted, ALL, "python")
    error = caught.value
    assert (error.code, error.reason) == ("FAILED_PRECONDITION", "MISSING_PACKAGES")
    assert error.metadata == {"field": "packages", "missing": "pyyaml nltk>=3.8,<4", "nearest": "scientific"}
    assert "'scientific' is nearest and lacks pyyaml, nltk>=3.8,<4; " in error.message
    assert (
        "`cupel-sandbox images build --from scientific --packages 'pyyaml,nltk>=3.8,<4' --name my-scientific`"
        in error.message
    )


def test_a_named_environment_must_have_what_is_declared() -> None:
    assert by_request("scientific", (need("numpy"),), ALL, "python") is SCIENTIFIC
    with pytest.raises(MissingPackagesError, match=r"'web' lacks numpy; .* or name 'scientific', which") as caught:
        by_request("web", (need("numpy"),), ALL, "python")
    assert caught.value.metadata["nearest"] == "web"
    with pytest.raises(
        MissingPackagesError, match=r"'web' lacks nltk; build one .* --from web --packages nltk --name my-web`"
    ):
        by_request("web", (need("nltk"),), ALL, "python")


def test_a_long_list_of_what_is_missing_is_cut() -> None:
    wanted = tuple(need(package=f"{'p' * 90}-{number}", versions="!=1.1") for number in range(100))
    with pytest.raises(MissingPackagesError, match="and 90 more") as caught:
        by_request("", wanted, ALL, "python")
    assert len(caught.value.message) + len(caught.value.metadata["missing"]) < 4096


@given(st.text(min_size=1, max_size=30))
def test_no_version_escapes_from_the_command(versions: str) -> None:
    with pytest.raises(MissingPackagesError) as caught:
        by_request("", (need(package="nowhere", versions=f"==={versions}"),), ALL, "python")
    command = caught.value.message.rpartition("`cupel-sandbox ")[2].rpartition("`, or install")[0]
    assert shlex.split(command)[-3] == f"nowhere==={versions}"


@pytest.mark.parametrize(
    ("requirement", "met"),
    [
        (need("numpy"), True),
        (need("numpy", versions=">=1.26,<2"), True),
        (need("numpy", versions=">=2"), False),
        (need(package="scikit-learn"), True),
        (need("sklearn"), True),
        (need("sklearn", "scikit-learn", "~=1.5.0"), True),
        (need("sklearn", "scikit-learn-intelex"), True),  # the module is there, whoever provides it
        (need("sklearn", "scikit-learn-intelex", ">0"), False),  # but nobody knows in which version
        (need("sklearn.linear_model"), True),
        (need(package="sklearn"), False),
        (need("json"), True),
        (need("json", versions=">1"), False),
        (need("nowhere"), False),
    ],
)
def test_an_environment_meets_a_requirement_or_not(requirement: PackageRequirement, met: bool) -> None:  # noqa: FBT001 -- a case's own
    assert requirement.is_met_by(SCIENTIFIC) is met
    assert missing_of([requirement], SCIENTIFIC) == (() if met else (requirement,))


def test_an_installed_pre_release_counts_and_a_version_that_is_none_does_not() -> None:
    assert need("numpy", versions=">=2").is_met_by(EVERYTHING)
    strange = environment("strange", {"x": "not_a_version"})
    assert need(package="x").is_met_by(strange)
    assert not need(package="x", versions=">=0").is_met_by(strange)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_version_that_an_agent_tells_is_compared(installed: str, text: str) -> None:
    assert need(package="x", versions=">=1").is_met_by(environment("e", {"x": installed})) in {True, False}
    assert normalized(normalized(text)) == normalized(text)


def test_packages_are_offered_by_a_table_and_never_by_a_modules_own_name() -> None:
    assert provider_of("cv2.gapi") == "opencv-python-headless"
    assert provider_of("huggingface_cli") == ""


def test_an_environments_limits_hold_where_the_request_names_none() -> None:
    environment = Environment("roomy", "", "3.11.2", default_limits={"memory_bytes": 8 << 30, "processes": 256})
    named = Sample("s", ScriptTask(""), Limits(processes=3, output_bytes=7), named_limits=frozenset({"processes"}))
    sample = placed(named, environment)
    assert sample.environment == "roomy"
    assert sample.limits == Limits(processes=3, output_bytes=7, memory_bytes=8 << 30)
    assert sample.limits.wall_time == timedelta(seconds=60)
