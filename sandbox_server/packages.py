"""What a sample needs of an environment, and whether an environment has it: packages, versions, modules. Pure."""

from __future__ import annotations

import functools
import re
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox_server.model import Environment

# Modules that the standard library had in a Python that environments may still have (3.8 and newer).
_LEFT_THE_LIBRARY = (
    "_bootlocale aifc asynchat asyncore audioop binhex cgi cgitb chunk crypt distutils dummy_threading formatter "
    "imghdr imp lib2to3 macpath mailcap msilib nis nntplib ossaudiodev parser pipes smtpd sndhdr spwd sunau symbol "
    "telnetlib uu xdrlib"
)
STANDARD_LIBRARY = sys.stdlib_module_names | frozenset(_LEFT_THE_LIBRARY.split())

# Where module and package have different names. Only for messages: what counts is what environments say they have.
_PROVIDERS = {
    "Bio": "biopython",
    "Crypto": "pycryptodome",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "fitz": "pymupdf",
    "jwt": "pyjwt",
    "magic": "python-magic",
    "mpl_toolkits": "matplotlib",
    "pkg_resources": "setuptools",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "usb": "pyusb",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
}


@dataclass(frozen=True, slots=True)
class PackageRequirement:
    """A package that a sample needs, by what is imported of it, by its own name, or by both."""

    module: str = ""
    """What is imported: "sklearn". Empty where only the package counts."""
    package: str = ""
    """The package's normalized name: "scikit-learn". Empty where it is the module's."""
    versions: str = ""
    """A version specifier of PEP 440, such as ">=1.3,<2"; empty for any version."""

    @property
    def name(self) -> str:
        """The package's normalized name."""
        return self.package or normalized(self.module.partition(".")[0])

    @property
    def words(self) -> str:
        """The requirement as `pip` and `cupel-sandbox images build --packages` take it."""
        return f"{self.name}{self.versions}"

    def is_met_by(self, environment: Environment) -> bool:
        """Returns whether an environment has it."""
        installed = environment.packages.get(self.name)
        if installed is not None and _has_version(installed, self.versions):
            return True
        module = self.module.partition(".")[0]
        return bool(module) and not self.versions and (module in environment.modules or module in STANDARD_LIBRARY)


def missing_of(requirements: Iterable[PackageRequirement], environment: Environment) -> tuple[PackageRequirement, ...]:
    """Returns the requirements that an environment does not meet."""
    return tuple(requirement for requirement in requirements if not requirement.is_met_by(environment))


def build_command(environment: str, packages: str) -> str:
    """Returns the command that makes an environment out of another one by adding packages.

    Args:
        environment: The one to start from.
        packages: Requirements with commas between.
    """
    # Quoted where it must be: `>` and `<` of a version mean files to a shell, and not all of this is our own words.
    return f"cupel-sandbox images build --from {environment} --packages {shlex.quote(packages)} --name my-{environment}"


def normalized(name: str) -> str:
    """Returns the form of a package's name in which all its spellings are one (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def provider_of(module: str) -> str:
    """Returns the package that is known to provide a module, empty where that is not known.

    A guess by the module's name would have people install whatever a sample, or whoever registered the name that
    models like to invent, wants them to install.
    """
    return _PROVIDERS.get(module.partition(".")[0], "")


@functools.lru_cache(maxsize=1024)
def _has_version(installed: str, versions: str) -> bool:
    if not versions:
        return True
    # Not at the top: most samples name no versions, and a server is to start fast.
    from packaging.specifiers import SpecifierSet  # noqa: PLC0415 -- as above
    from packaging.version import InvalidVersion, Version  # noqa: PLC0415 -- as above

    try:
        # An environment that holds a pre-release was made so: it counts.
        return SpecifierSet(versions).contains(Version(installed), prereleases=True)
    except InvalidVersion:
        return False  # a version that no specifier can be compared with
