# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows as a table for a person: what is wrong first and with its remedy, what is well in one line each. Pure."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence

from .judge import worst
from .model import FAIL, PASS, UNKNOWN, WARN

_ORDER = (FAIL, WARN, UNKNOWN, PASS)
_WIDEST = 46
Row = Mapping[str, t.Any]


def counts(rows: Sequence[Row]) -> dict[str, int]:
    """How many rows there are of each state."""
    return {state: sum(row["state"] == state for row in rows) for state in (PASS, WARN, FAIL, UNKNOWN)}


def draw(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """The lines, each with the state whose color it has. What both nodes pass alike is one line."""
    lines = _lines(rows)
    cells = [("state", "check", "nodes", "found"), *((line[0].upper(), *line[1:4]) for line in lines)]
    widths = [max(len(cell[place]) for cell in cells) for place in range(3)]
    drawn = [("", _row(cells[0], widths)), ("", "  ".join(["-" * width for width in [*widths, len("found")]]))]
    for line, cell in zip(lines, cells[1:], strict=True):
        drawn.append((line[0], _row(cell, widths)))
        drawn += [(line[0], " " * (widths[0] + 2) + words) for words in line[4]]
    return drawn


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join([*(cell.ljust(width) for cell, width in zip(cells, widths, strict=False)), cells[3]]).rstrip()


def _lines(rows: Sequence[Row]) -> list[tuple[str, str, str, str, list[str]]]:
    """State, check, nodes, what was found; reason and remedy."""
    found: dict[tuple[str, str, str, str, str], list[str]] = {}
    silent: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row["state"] == UNKNOWN and row["expected"] is None:
            # Nobody answered: one line for all that is not known because of it.
            silent.setdefault((str(row["reason"]), str(row["remedy"])), []).append(str(row["check"]))
            continue
        key = (str(row["state"]), str(row["check"]), _words(row["value"]), str(row["reason"]), str(row["remedy"]))
        names = found.setdefault(key, [])
        names += [name for name in row["nodes"] if name not in names]
    lines = [
        (state, check, " ".join(names), value, [words for words in (reason, f"-> {remedy}" if remedy else "") if words])
        for (state, check, value, reason, remedy), names in found.items()
    ]
    for (reason, remedy), checks in silent.items():
        about = sorted(set(checks))
        lines.append((UNKNOWN, f"{len(about)} checks", "", reason, [", ".join(about), f"-> {remedy}"]))
    return sorted(lines, key=lambda line: (_ORDER.index(line[0]), line[1], line[2]))


def _words(value: t.Any) -> str:
    if value is None:
        return "?"
    if isinstance(value, Mapping):
        value = ", ".join(f"{name}: {each}" for name, each in value.items())
    elif isinstance(value, (list, tuple)):
        value = ", ".join(str(each) for each in value)
    text = " ".join(str(value).split())
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."


def verdict(rows: Sequence[Row], silent: Mapping[str, str]) -> list[str]:
    """One sentence, and a line for each node that did not answer."""
    number = counts(rows)
    said = ", ".join(f"{number[state]} {word}" for state, word in ((PASS, "pass"), (WARN, "warn"), (FAIL, "fail"), (UNKNOWN, "unknown")))
    return [f"{worst(rows).upper()}. {said}.", *(f"  - {name} cannot be reached: {reason}." for name, reason in silent.items())]
