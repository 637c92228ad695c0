"""Figures and tables. Pure."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def quantile(values: Sequence[float], share: float) -> float:
    """Returns the smallest value that at least a share of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Returns median and range, as "153.2 (149.0 to 160.4)"."""
    middle = statistics.median(values)
    return f"{middle:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Returns the slope of the line of least squares through points."""
    line = statistics.linear_regression([x for x, _ in points], [y for _, y in points])
    return line.slope


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Returns a plain table: the first column to the left, the others to the right."""
    lines = [list(header), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    text = []
    for line in lines:
        cells = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        text.append("  ".join(cells).rstrip())
    return "\n".join(text)
