"""The packages that a sample declares, checked: their names go into messages and commands that people copy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sandbox_server.errors import FieldMissingError
from sandbox_server.packages import PackageRequirement, normalized
from sandbox_server.wire.faults import bad

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cupel_client.gen import sandbox_service_pb2 as pb

_MAXIMUM_PACKAGES = 100
_MAXIMUM_NAME_CHARACTERS = 100
_MODULE = re.compile(rf"(?!.{{{_MAXIMUM_NAME_CHARACTERS + 1}}})[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)
_PACKAGE = re.compile(rf"(?!.{{{_MAXIMUM_NAME_CHARACTERS + 1}}})[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


def read_packages(messages: Sequence[pb.PackageRequirement]) -> tuple[PackageRequirement, ...]:
    """Returns the packages that a sample declares.

    Raises:
        FieldError: One of them is not what the contract says, or there are too many.
    """
    if len(messages) > _MAXIMUM_PACKAGES:
        count, maximum = f"{len(messages)} items", str(_MAXIMUM_PACKAGES)
        raise bad("packages", count, f"above {maximum}", maximum=maximum)
    return tuple(_package(f"packages[{number}]", message) for number, message in enumerate(messages))


def _package(name: str, message: pb.PackageRequirement) -> PackageRequirement:
    if not message.module and not message.package:
        raise FieldMissingError(
            f"{name} has neither a module nor a package; give what is imported, or the package's name", field=name
        )
    if message.module and not _MODULE.fullmatch(message.module):
        raise bad(f"{name}.module", message.module, "not the name of a module, such as sklearn")
    if message.package and not _PACKAGE.fullmatch(message.package):
        raise bad(f"{name}.package", message.package, "not the name of a package, such as scikit-learn")
    if message.versions:
        _check_versions(f"{name}.versions", message.versions)
    package = normalized(message.package) if message.package else ""
    return PackageRequirement(message.module, package, message.versions.replace(" ", ""))


def _check_versions(name: str, text: str) -> None:
    # Not at the top: most samples name no versions, and a server is to start fast.
    from packaging.specifiers import InvalidSpecifier, SpecifierSet  # noqa: PLC0415 -- as above

    fault = bad(name, text, "not a version specifier of PEP 440, such as >=1.3,<2")
    if len(text) > _MAXIMUM_NAME_CHARACTERS or not text.isascii() or not text.isprintable():
        raise fault
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        raise fault from None
