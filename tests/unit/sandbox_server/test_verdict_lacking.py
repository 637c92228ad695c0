import pytest

from sandbox_server.model import (
    Environment,
    Facts,
    FunctionCheckTask,
    Judgement,
    Limits,
    RaisedError,
    Screening,
    ScriptTask,
    Stage,
    TestResult,
    TestStatus,
    Verdict,
)
from sandbox_server.verdict import judge

SCIENTIFIC = Environment("scientific", "d", "3.11.7", modules=frozenset({"numpy"}))
SCREENING = Screening(None, entry_point_found=True, findings=(), declared_tests=None)


def missing(message: str, environment: Environment | None = SCIENTIFIC, name: str = "ModuleNotFoundError") -> Judgement:
    error = RaisedError(name, message, f"Traceback ...\n{name}: {message}")
    facts = Facts(stage=Stage.LOADING, exit_code=1, error=error)
    return judge(ScriptTask("import x"), Limits(), SCREENING, facts, environment)


def test_says_which_environment_lacks_which_module_and_how_to_get_one() -> None:
    judgement = missing("No module named 'cv2'")
    assert judgement.verdict is Verdict.IMPORT_MISSING
    assert judgement.explanation == (
        "Ended by an error: ModuleNotFoundError: No module named 'cv2'. The environment 'scientific' lacks 'cv2'. "
        "One that has it: `cupel-sandbox images build --from scientific --packages opencv-python-headless "
        "--name my-scientific`, or install that for the interpreter of a local one."
    )
    assert judgement.strict_reasons == ("Ended by an error: ModuleNotFoundError: No module named 'cv2'",)


def test_a_sample_cannot_have_a_package_recommended() -> None:
    explanation = missing("No module named 'evil_twin'").explanation
    assert "--packages PACKAGE --name" in explanation
    assert "evil-twin" not in explanation
    assert "--packages evil_twin" not in explanation


def test_a_test_that_misses_a_module_says_so_too() -> None:
    error = "ModuleNotFoundError: No module named 'sklearn'"
    result = TestResult("check", TestStatus.ERROR, f"Traceback ...\n{error}", message="No module named 'sklearn'")
    facts = Facts(stage=Stage.COMPLETE, exit_code=0, results=(result,), reported_tests=("check",))
    task = FunctionCheckTask("def f(): import sklearn", "f", "def check(f): f()")
    judgement = judge(task, Limits(), SCREENING, facts, SCIENTIFIC)
    assert judgement.verdict is Verdict.IMPORT_MISSING
    assert (
        "lacks 'sklearn'. One that has it: `cupel-sandbox images build --from scientific --packages scikit-learn --name"
        in (judgement.explanation)
    )


def test_a_module_of_the_standard_library_is_in_no_package() -> None:
    assert missing("No module named 'tkinter'").explanation.endswith("The environment 'scientific' lacks 'tkinter'.")


@pytest.mark.parametrize(
    "message",
    [
        "No module named 'numpy'",  # it is there: the sample says what it likes
        "import of psutil halted; None in sys.modules",  # it was taken away, as the original harness does
        "No module named 'a b'",
        "No module named '-x'",
        "",
    ],
)
def test_nothing_is_said_that_may_be_false(message: str) -> None:
    assert missing(message).explanation == missing(message, None).explanation


def test_a_part_of_a_package_may_be_lacking() -> None:
    assert "lacks 'numpy.no_such_part'" in missing("No module named 'numpy.no_such_part'").explanation


def test_other_verdicts_are_explained_as_ever() -> None:
    judgement = missing("No module named 'cv2'", name="ValueError")
    assert judgement.verdict is Verdict.RUNTIME_ERROR
    assert "lacks" not in judgement.explanation
