# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All checks, in order; and what two nodes said of the same thing, as one."""

from __future__ import annotations

import collections.abc
import typing as t

from . import atlas, binary_log, data, identity, replication, resources, roles
from .model import FAIL, PASS, UNKNOWN, WARN, Context, OnNode, Row, Rule, Seen

RULES: tuple[Rule, ...] = (
    roles.ANSWERS,
    roles.OPERATOR,
    *roles.RULES,
    *replication.RULES,
    *binary_log.RULES,
    *identity.RULES,
    *data.RULES,
    *resources.RULES,
    *atlas.RULES,
)
CODES = tuple(sorted(rule.code for rule in RULES))
_WORST = (PASS, UNKNOWN, WARN, FAIL)


def judge(context: Context) -> list[Row]:
    """Every check, sorted by its code and by node."""
    found = [row for rule in RULES for row in _rows(rule, context)]
    return sorted(found, key=lambda row: (row.check, row.nodes))


def _rows(rule: Rule, context: Context) -> t.Iterator[Row]:
    if rule.engine and any(seen.server.running and seen.server.engine != rule.engine for seen in context.both):
        return
    names = tuple(seen.name for seen in context.pair_order())
    if isinstance(rule, OnNode):
        for seen in context.both:
            blind = not seen.server.running and rule.blind
            yield from _unknown(rule, (seen.name,), [seen]) if blind else _found(rule.code, rule.judge(context, seen), (seen.name,))
        return
    silent = [seen for seen in context.both if not seen.server.running]
    yield from _unknown(rule, names, silent) if silent else _found(rule.code, rule.judge(context), names)


def _found(code: str, finding: t.Any, nodes: tuple[str, ...]) -> t.Iterator[Row]:
    if finding is not None:
        yield Row(code, finding.state, finding.value, finding.expected, finding.reason, finding.remedy, nodes)


def _unknown(rule: Rule, nodes: tuple[str, ...], silent: t.Sequence[Seen]) -> t.Iterator[Row]:
    names = " and ".join(seen.name for seen in silent)
    yield Row(rule.code, UNKNOWN, None, None, f"{names} cannot be asked.", "See role-answers and role-operator.", nodes)


def worst(rows: collections.abc.Iterable[t.Mapping[str, t.Any]]) -> str:
    """The state of all rows together: fail, warn, unknown or pass."""
    return max((str(row["state"]) for row in rows), key=_WORST.index, default=UNKNOWN)


def merge(said: t.Mapping[str, collections.abc.Sequence[t.Mapping[str, t.Any]]]) -> list[dict[str, t.Any]]:
    """What each node said, as one list. Of itself a node knows most; of both, the worst that is known counts."""
    answered = {name for name, rows in said.items() if any(row["check"] == "role-answers" and row["state"] == PASS and row["nodes"] == [name] for row in rows)}
    best: dict[tuple[str, tuple[str, ...]], tuple[tuple[int, int], dict[str, t.Any]]] = {}
    for speaker, rows in said.items():
        for row in rows:
            nodes = tuple(sorted(row["nodes"]))
            if row["state"] == UNKNOWN and len(nodes) == 1 and nodes[0] != speaker and nodes[0] in answered:
                continue
            known, itself = int(row["state"] != UNKNOWN), int(nodes == (speaker,))
            rank = (2 * known + itself, _WORST.index(row["state"]))
            key = (str(row["check"]), nodes)
            if key not in best or rank > best[key][0]:
                best[key] = (rank, {**row, "nodes": list(nodes)})
    return [best[key][1] for key in sorted(best)]
