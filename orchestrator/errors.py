"""What can go wrong with a run. What a sample does is never here: that is in its result.

CupelError                   exit code
├── UsageError               2   an option that means nothing, or options that exclude each other
├── InputError               3   samples or dataset; names file, line and field
├── NoSandboxError           4   no sandbox server can be reached or started
├── ResultsExistError        2   result files that would be overwritten
└── InterruptedRunError    130   stopped by the user; the journal is kept
"""

from __future__ import annotations


class CupelError(Exception):
    """The root of everything that can go wrong with a run; `exit_code` is the command's."""

    exit_code = 1


class UsageError(CupelError):
    """Raised when an option means nothing, or options exclude each other."""

    exit_code = 2


class ResultsExistError(UsageError):
    """Raised when result files of another run would be overwritten."""


class InputError(CupelError):
    """Raised when samples or a dataset cannot be used as they are.

    Args:
        message: What is wrong and what to do.
        file: The file or folder, as the user named it.
        line: The line, counted from 1; None where there is none.
        field: The field; None where it is not one field's fault.
    """

    exit_code = 3

    def __init__(self, message: str, *, file: str, line: int | None = None, field: str | None = None) -> None:
        place = file if line is None else f"{file}:{line}"
        super().__init__(f"{place}: {f'field {field!r}: ' if field else ''}{message}")
        self.file = file
        self.line = line
        self.field = field


class NoSandboxError(CupelError):
    """Raised when no sandbox server can be reached or started."""

    exit_code = 4


class InterruptedRunError(CupelError):
    """Raised when the user stops a run; what was judged is in the journal."""

    exit_code = 130
