"""Which environment a sample gets: by its name, by the packages that it declares, or by what it imports. Pure."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING

from sandbox_server.errors import MissingPackagesError, UnknownEnvironmentError
from sandbox_server.packages import STANDARD_LIBRARY, build_command, missing_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sandbox_server.model import Environment, Sample
    from sandbox_server.packages import PackageRequirement

_SHOWN_CHARACTERS = 100
# A status travels in headers, of which clients take 8 KiB, and names what is missing five times.
_MISSING_CHARACTERS = 1_000


def by_request(
    name: str, packages: Collection[PackageRequirement], environments: Sequence[Environment], default: str
) -> Environment | None:
    """Returns the environment that a sample's request decides on; None where its imports have to.

    Args:
        name: The environment that the sample names; may be empty.
        packages: What it declares to need.
        environments: Those that there are.
        default: The name of the one that is first among equals.

    Raises:
        UnknownEnvironmentError: There is none of that name.
        MissingPackagesError: The environment that it names, or every one, lacks a package.
    """
    if name:
        return _named(name, packages, environments)
    fit = environments if not packages else _with_packages(packages, environments, default)
    return fit[0] if len(fit) == 1 else None


def placed(sample: Sample, environment: Environment) -> Sample:
    """Returns a sample in an environment, whose own default limits hold where the request names none."""
    own = {name: value for name, value in environment.default_limits.items() if name not in sample.named_limits}
    limits = sample.limits.with_requested(own) if own else sample.limits
    return replace(sample, environment=environment.name, limits=limits)


def by_imports(
    imports: Collection[str] | None,
    packages: Collection[PackageRequirement],
    environments: Sequence[Environment],
    default: str,
) -> Environment:
    """Returns the environment that suits what a sample imports, among those that have what it declares.

    The smallest that has all imports; if none has, of those that have most the default, else the smallest: there the
    sample will meet the module that is missing.

    Args:
        imports: Top-level names; None where they are not known, which is a case for the default.
        packages: What the sample declares to need.
        environments: Those that there are: one at least.
        default: The name of the one that is first among equals.
    """
    # None has them any more where workers were replaced since the request was read.
    fit = [one for one in environments if not missing_of(packages, one)] or environments
    if imports is None:
        return min(fit, key=lambda one: _rank(one, default, default_first=True))
    needed = frozenset(imports) - STANDARD_LIBRARY
    lacking = [(len(needed - one.modules), one) for one in fit]
    fewest = min(count for count, _ in lacking)
    suited = [one for count, one in lacking if count == fewest]
    return min(suited, key=lambda one: _rank(one, default, default_first=fewest > 0))


def _rank(environment: Environment, default: str, *, default_first: bool) -> tuple[int, int, str]:
    other, size = int(environment.name != default), len(environment.packages)
    return (other, size, environment.name) if default_first else (size, other, environment.name)


def _named(name: str, packages: Collection[PackageRequirement], environments: Sequence[Environment]) -> Environment:
    found = next((one for one in environments if one.name == name), None)
    if found is None:
        known = ", ".join(one.name for one in environments)
        shown = name[:_SHOWN_CHARACTERS]
        raise UnknownEnvironmentError(
            f"there is no environment {shown!r} here; this server has {known}",
            field="environment",
            value=shown,
            known=known,
        )
    missing = missing_of(packages, found)
    if missing:
        complete = [one for one in environments if not missing_of(packages, one)]
        smallest = min(complete, key=lambda one: _rank(one, name, default_first=False), default=None)
        advice = f"leave the environment out, or name {smallest.name!r}, which has them all" if smallest else ""
        raise _missing(f"the environment {name!r} lacks", missing, found, advice)
    return found


def _with_packages(
    packages: Collection[PackageRequirement], environments: Sequence[Environment], default: str
) -> Sequence[Environment]:
    fit = [one for one in environments if not missing_of(packages, one)]
    if fit or not environments:  # without any, the runtime has the words for it
        return fit
    ranked = sorted(environments, key=lambda one: _rank(one, default, default_first=False))
    nearest = min(ranked, key=lambda one: len(missing_of(packages, one)))
    raise _missing(
        f"no environment of this server has all declared packages; {nearest.name!r} is nearest and lacks",
        missing_of(packages, nearest),
        nearest,
    )


def _missing(
    words: str, missing: Sequence[PackageRequirement], nearest: Environment, advice: str = ""
) -> MissingPackagesError:
    names = [requirement.words for requirement in missing]
    shown = [name for name, end in zip(names, accumulate(map(len, names)), strict=True) if end <= _MISSING_CHARACTERS]
    more = f" and {len(names) - len(shown)} more" if len(shown) < len(names) else ""
    if not advice:
        command = build_command(nearest.name, ",".join(shown))
        advice = f"build one that has them: `{command}`, or install them for the interpreter of a local one"
    return MissingPackagesError(
        f"{words} {', '.join(shown)}{more}; {advice}",
        field="packages",
        missing=" ".join(shown),
        nearest=nearest.name,
    )
