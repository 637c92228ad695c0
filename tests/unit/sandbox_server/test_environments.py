import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_server.environments import Profiles, imported_names
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


BIGCODEBENCH = Profiles(
    {
        "deep": ("tensorflow", "numpy", "pandas", "sklearn"),
        "scientific": ("numpy", "pandas", "matplotlib.pyplot", "scipy", "sklearn"),
        "tables": ("pandas", "numpy"),
        "text": ("nltk",),
    }
)
EACH = ("deep", "scientific", "tables", "text")


@pytest.mark.parametrize(
    ("source", "profile"),
    [
        ("import pandas as pd\nimport numpy as np", "tables"),
        ("import pandas\nfrom sklearn.svm import SVC", "scientific"),
        ("import numpy, pandas, sklearn, scipy", "scientific"),
        ("import tensorflow as tf", "deep"),
        ("import tensorflow as tf\nimport numpy as np", "deep"),
        ("import numpy as np\nimport nltk", "text"),
        ("import tensorflow_text", "none"),
    ],
)
def test_takes_the_profile_that_covers_most_and_a_heavy_one_only_for_its_own(source: str, profile: str) -> None:
    assert BIGCODEBENCH.choose(ScriptTask(source), EACH) == profile
    assert BIGCODEBENCH.choose(UnittestTask(source, "import unittest"), EACH) == profile


def test_what_is_heavy_is_the_environments_to_say() -> None:
    profiles = Profiles({"all": ("numpy", "slow"), "some": ("numpy",)}, heavy=("slow",))
    assert profiles.choose(ScriptTask("import numpy"), ("all",)) == "none"
    assert profiles.choose(ScriptTask("import numpy, slow"), ("all", "some")) == "all"
    assert profiles.choose(ScriptTask("import slow"), ("all", "some")) == "all"


def test_looks_for_names_in_the_text() -> None:
    source = "import a.b as c, d # e\n  from f.g import h\nimport i; import j\nimportant = 1\nfrom . import k\n"
    assert list(imported_names(source)) == ["a", "d", "f", "i"]


@given(st.text(alphabet="import fromab,.;#\n\t ", max_size=200))
def test_whatever_the_text_names_are_names(source: str) -> None:
    assert all(name and not set(name) & set(" .,;#\n\t") for name in imported_names(source))
