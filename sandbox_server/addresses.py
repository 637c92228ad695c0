"""Where a server may listen. Pure."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass

from sandbox_server.errors import ListenError

_LONGEST_UNIX_PATH_BYTES = 107
_HOST_PORT = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]]+)):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Address:
    """One address to listen on."""

    text: str
    """As gRPC writes it."""
    unix_path: str = ""
    """The path of a Unix socket; empty for TCP."""
    local: bool = True
    """Whether only this machine reaches it."""

    def with_port(self, port: int) -> str:
        """Returns the text with the port that was really bound."""
        return self.text if self.unix_path else f"{self.text.rpartition(':')[0]}:{port}"


def parse_address(text: str) -> Address:
    """Returns the address of `host:port`, `[host]:port` or `unix:PATH`.

    Raises:
        ListenError: It is none of these.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        path = path.removeprefix("//") if path.startswith("///") else path
        size = len(os.fsencode(path))
        if not path or "\0" in path:
            raise ListenError(f"{text!r} names no path; write unix:PATH")
        if size > _LONGEST_UNIX_PATH_BYTES:
            raise ListenError(
                f"the path of {text!r} has {size} bytes; a socket's has at most {_LONGEST_UNIX_PATH_BYTES}"
            )
        return Address(f"unix:{path}", unix_path=path)
    match = _HOST_PORT.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        raise ListenError(f"{text!r} is not an address; write host:port, [host]:port or unix:PATH")
    return Address(text, local=_is_loopback(match["v6"] or match["host"]))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name, which may mean any address tomorrow
