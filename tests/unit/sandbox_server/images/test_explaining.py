from __future__ import annotations

import pytest

from sandbox_server.images.explaining import explain

_MESSAGE = "The command '/bin/sh -c set -e; a long one' returned a non-zero code: 1"


def test_pips_own_words_are_told_without_colours() -> None:
    lines = [
        "Step 5/9 : RUN pip install",
        " ---> Running in 123",
        "Collecting attrs",
        "\x1b[91mERROR: Could not find a version that satisfies the requirement nosuch (from versions: none)\x1b[0m",
        "\x1b[91mERROR: No matching distribution found for nosuch\x1b[0m",
        "Removing intermediate container 123",
    ]
    assert explain(_MESSAGE, lines).splitlines() == [
        "ERROR: Could not find a version that satisfies the requirement nosuch (from versions: none)",
        "ERROR: No matching distribution found for nosuch",
    ]


def test_without_marked_lines_the_last_ones_are_told() -> None:
    lines = [f"line {number}" for number in range(20)]
    assert explain(_MESSAGE, lines).splitlines() == [f"line {number}" for number in range(14, 20)]


def test_without_any_output_the_engines_words_are_told() -> None:
    assert explain(_MESSAGE, []) == _MESSAGE
    assert explain(_MESSAGE, [" ---> Running in 123", ""]) == _MESSAGE


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("WARNING: Retrying: NewConnectionError: Failed to establish a new connection", "--network host"),
        ("  Temporary failure resolving 'mirror'", "--network host"),
        ("failed to create endpoint x on network bridge: could not find bridge docker0", "--network host"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] self-signed'))", "--ca-bundle"),
        ("OSError: [Errno 28] No space left on device", "docker system df"),
    ],
)
def test_known_causes_come_with_what_to_do(line: str, advice: str) -> None:
    told = explain(_MESSAGE, [line, "ERROR: No matching distribution found for attrs"])
    assert told.splitlines()[0] == "ERROR: No matching distribution found for attrs"
    assert advice in told.splitlines()[-1]


def test_hostile_output_stays_short_and_printable() -> None:
    told = explain("x", ["ERROR: \x1b]0;title\x07" + "y" * 10_000] * 50)
    assert len(told) < 1000
    assert all(character.isprintable() for character in told)
