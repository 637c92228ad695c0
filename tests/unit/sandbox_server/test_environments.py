import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_server.environments import Profiles
from sandbox_server.model import FunctionCheckTask, ScriptTask, UnittestTask

PROFILES = Profiles({"scientific": ("numpy", "matplotlib.pyplot"), "web": ("requests",), "empty": ()})
LOADED = ("scientific", "web")


@pytest.mark.parametrize(
    ("source", "profile"),
    [
        ("import numpy as np", "scientific"),
        ("import os, numpy", "scientific"),
        ("    from numpy.linalg import norm", "scientific"),
        ("from matplotlib import pyplot", "scientific"),
        ("import requests", "web"),
        ("import requests\nimport numpy\nimport matplotlib", "scientific"),
        ("import requests\nimport numpy", "web"),
        ("import numpyro", "none"),
        ("from .numpy import x", "none"),
        ("from os import numpy_like", "none"),
        ("# numpy is nice", "none"),
        ("x = 'numpy'", "none"),
        ("", "none"),
    ],
)
def test_chooses_by_what_is_imported(source: str, profile: str) -> None:
    assert PROFILES.choose(ScriptTask(source), LOADED) == profile


def test_looks_at_the_tests_too() -> None:
    assert PROFILES.choose(UnittestTask("x = 1", "import numpy"), LOADED) == "scientific"
    assert PROFILES.choose(FunctionCheckTask("x = 1", "f", assertions=("import numpy",)), LOADED) == "scientific"


def test_takes_only_what_is_loaded() -> None:
    assert PROFILES.choose(ScriptTask("import numpy"), ("web",)) == "none"
    assert Profiles({}).choose(ScriptTask("import numpy"), LOADED) == "none"


@given(st.text())
def test_any_text_has_a_profile(source: str) -> None:
    assert PROFILES.choose(ScriptTask(source), LOADED) in {"none", *LOADED}
