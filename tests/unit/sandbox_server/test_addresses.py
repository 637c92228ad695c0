import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_server.addresses import parse_address
from sandbox_server.errors import ListenError


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("127.0.0.1:0", True),
        ("127.9.9.9:1", True),
        ("localhost:50061", True),
        ("[::1]:80", True),
        ("0.0.0.0:80", False),
        ("[::]:80", False),
        ("10.0.0.1:80", False),
        ("host.example:80", False),
    ],
)
def test_knows_who_reaches_an_address(text: str, *, local: bool) -> None:
    address = parse_address(text)
    assert (address.text, address.local, address.unix_path) == (text, local, "")


def test_a_port_that_was_chosen_is_told() -> None:
    assert parse_address("[::1]:0").with_port(1234) == "[::1]:1234"


@pytest.mark.parametrize("text", ["unix:/tmp/x.sock", "unix:///tmp/x.sock"])
def test_unix_sockets_are_local(text: str) -> None:
    address = parse_address(text)
    assert (address.text, address.unix_path, address.local) == ("unix:/tmp/x.sock", "/tmp/x.sock", True)


@pytest.mark.parametrize("text", ["", "localhost", ":80", "host:", "host:x", "host:65536", "::1:80", "unix:"])
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(ListenError, match="write"):
        parse_address(text)


def test_a_path_that_is_too_long_says_how_long_it_may_be() -> None:
    with pytest.raises(ListenError, match="at most 107"):
        parse_address("unix:/" + "x" * 107)


@given(st.text())
def test_any_text_is_an_address_or_an_error(text: str) -> None:
    try:
        assert parse_address(text).text
    except ListenError as error:
        assert str(error)  # noqa: PT017 -- both ends are allowed, and nothing else
