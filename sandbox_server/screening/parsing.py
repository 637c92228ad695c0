"""Parses source that nobody trusts, and never executes it.

Python's own parser and compiler do the work: the fault they find is the one that the sample would meet. `ast`
alone would not do: it accepts `return` outside of a function and an argument named twice.
"""

from __future__ import annotations

import ast
import symtable
import warnings
from dataclasses import dataclass

from sandbox_server.model import SyntaxFault

# Before Python 3.12 making code takes time by the square of the number of functions that are alike: 100 s for 1 MiB
# of them. A larger source is checked for names only; a `return` outside of a function is then found in the cell.
_COMPILED_CHARACTERS = 64 << 10
# As exec() of a text calls it, so that messages which name it read like the original harnesses'.
_FILE_NAME = "<string>"
_MESSAGE_CHARACTERS = 500
_ONLY_TREE: int = ast.PyCF_ONLY_AST
_INT32_MAXIMUM = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class Parsed:
    """What came of parsing a source: a tree, a fault, or neither for a program too deep to be walked."""

    tree: ast.Module | None
    fault: SyntaxFault | None


def parse(source: str) -> Parsed:
    """Parses and compiles a source as the harness does: as text, in which coding cookies mean nothing.

    Time and memory are those of Python's parser: linear, but for literals such as an f-string of 10,000 fields,
    and up to 1 GB for 1 MiB of single names. Warnings are silenced for the whole process meanwhile, so
    it must not run in two threads at once.
    """
    with warnings.catch_warnings():
        # A warning must not be printed, nor become a syntax error under "error": in the cell it is not one.
        warnings.simplefilter("ignore")
        try:
            tree: ast.Module = compile(source, _FILE_NAME, "exec", _ONLY_TREE, dont_inherit=True)
            if len(source) <= _COMPILED_CHARACTERS:
                compile(tree, _FILE_NAME, "exec", dont_inherit=True)
            else:
                symtable.symtable(source, _FILE_NAME, "exec")
        except (RecursionError, MemoryError):
            # What is too deep for a tree of Python objects may still compile; the sample meets only that.
            return Parsed(None, _fault(source))
        except (SyntaxError, ValueError, OverflowError, SystemError) as error:
            return Parsed(None, _described(error))
    return Parsed(tree, None)


def _fault(source: str) -> SyntaxFault | None:
    try:
        compile(source, _FILE_NAME, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, OverflowError, SystemError, RecursionError, MemoryError) as error:
        return _described(error)
    return None


def _described(error: Exception) -> SyntaxFault:
    if isinstance(error, SyntaxError):
        return SyntaxFault(str(error.msg)[:_MESSAGE_CHARACTERS], _counted(error.lineno), _counted(error.offset))
    # A NUL byte, a lone surrogate, a nesting too deep: Python names no place.
    return SyntaxFault(f"{type(error).__name__}: {error}"[:_MESSAGE_CHARACTERS])


def _counted(value: int | None) -> int:
    return min(max(value or 0, 0), _INT32_MAXIMUM)
