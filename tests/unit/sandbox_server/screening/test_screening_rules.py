"""The rule set: what it may say, and that the one that ships is sound."""

from __future__ import annotations

import pytest

from sandbox_server.screening import RuleError, default_rules, read_rules

_HEAD = "[[rule]]\nname = 'a'\nmessage = 'does a'\nrejects = true\n"


def test_the_rules_that_ship_can_be_read_and_are_many() -> None:
    rules = default_rules().rules
    assert len(rules) > 20
    assert {rule.rejects for rule in rules} == {True, False}
    assert default_rules() is default_rules()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rule = [", "not TOML"),
        ("", "nothing else"),
        ("other = 1", "nothing else"),
        ("rule = 1", "nothing else"),
        (_HEAD, "matches nothing"),
        (_HEAD + "calls = []", "matches nothing"),
        (_HEAD + "call = ['x']", "unknown key 'call'"),
        (_HEAD + "calls = 'x'", "must be a list of texts"),
        (_HEAD + "calls = [1]", "must be a list of texts"),
        (_HEAD + "calls = ['x']\nscope = 'function'", "'anywhere' or 'module'"),
        (_HEAD + "constant_methods = { __eq__ = 1 }", "true or false"),
        (_HEAD + "constant_methods = ['__eq__']", "true or false"),
        ("[[rule]]\nname = 'a'\nmessage = 'b'\ncalls = ['x']", "rejects must be given"),
        ("[[rule]]\nname = ''\nmessage = 'b'\nrejects = true\ncalls = ['x']", "name must be given"),
        ("[[rule]]\nmessage = 'b'\nrejects = true\ncalls = ['x']", "rule 1: name must be given"),
        ((_HEAD + "calls = ['x']\n") * 2, "stands twice"),
    ],
)
def test_a_rule_set_that_means_nothing_is_refused_with_its_place(text: str, words: str) -> None:
    with pytest.raises(RuleError, match=words):
        read_rules(text)


def test_names_are_found_exactly_and_below() -> None:
    rules = read_rules(_HEAD + "uses = ['os.kill', 'time.*']\nimports = ['http.client']")
    for name, found in {
        "os.kill": True,
        "os.kill.x": False,
        "os": False,
        "time": False,
        "time.sleep": True,
        "time.sleep.x": True,
        "timeit.x": False,
    }.items():
        assert bool(rules.uses.find(name)) is found, name
    for name, found in {
        "http": False,
        "http.client": True,
        "http.client.x": True,
        "http.clients": False,
    }.items():
        assert bool(rules.imports.find(name)) is found, name
