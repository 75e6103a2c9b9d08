# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pair as one table and a verdict: two columns that can be compared at a glance. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .pair import NETWORKS, Node, Pair, one
from .verdict import READER, WRITER, Problem, State, leads_to, problems, state

UNKNOWN = "?"
NONE = "-"
WIDEST = 44
Cell = Callable[[Node], str]


def rows(pair: Pair) -> list[tuple[str, list[str]]]:
    """Return the title and the cells of each row."""
    wanted: list[tuple[str, Cell]] = [
        ("traffic", _traffic),
        ("database", lambda node: _database(pair, node)),
        ("replication", _replication),
        ("lag", _lag),
        ("SQL writer port", _proxy_cell(WRITER)),
        ("SQL reader port", _proxy_cell(READER)),
        *([("Atlas", _atlas)] if any(_seen(node).get("atlas") for node in pair.nodes) else []),
        ("web", _web),
        ("php-fpm", lambda node: _part(node, "php", "php-fpm")),
        ("health", _health),
        ("hears peer on", _hears),
        ("services", lambda node: _services(pair, node)),
        *[(f"files {job}", _file_cell(job)) for job in _names(pair, "files")],
        *[(f"disk {path}", _disk_cell(path)) for path in _names(pair, "disks")],
        ("up for", _uptime),
    ]
    table = []
    for title, cell in wanted:
        cells = [UNKNOWN if node.seen is None else cell(node) for node in pair.nodes]
        table.append((title, cells))
    return table


def _names(pair: Pair, key: str) -> list[str]:
    found: dict[str, None] = {}
    for node in pair.nodes:
        for item in (node.seen or {}).get(key) or ():
            found[item["name"] if isinstance(item, dict) else item] = None
    return list(found)


def _seen(node: Node) -> Any:
    return node.seen or {}


def _traffic(node: Node) -> str:
    held = [network for network in NETWORKS if node.holds(network)]
    return f"ACTIVE ({' + '.join(held)} VIP)" if held else "standby"


def _database(pair: Pair, node: Node) -> str:
    if node.role is None:
        return f"unknown: {node.database.get('text') or _seen(node)['health']['reason'] or 'no answer'}"
    if node.role == "primary":
        return "PRIMARY, takes writes"
    if node.replication is None:
        return "read-only, follows nobody"
    return f"replica of {pair.name_of(node.replication.get('source'))}"


def _replication(node: Node) -> str:
    if node.replication is None:
        return NONE if node.role else UNKNOWN
    return "running" if node.replication.get("running") else f"STOPPED: {node.replication.get('error') or 'no error'}"


def _lag(node: Node) -> str:
    if node.replication is None:
        return NONE if node.role else UNKNOWN
    lag = node.replication.get("lag")
    return UNKNOWN if lag is None else f"{lag:g} s"


def _proxy_cell(backend: str) -> Cell:
    def cell(node: Node) -> str:
        if _seen(node)["proxy"] is None:
            return "no answer"
        found = leads_to(node, backend)
        if found is None:
            return NONE
        return f"to {' and '.join(_spare(name) for name in found)}" if found else "to nobody"

    return cell


def _spare(server: str) -> str:
    """Say what a spare server of HAProxy is: its name ends in what it is used for."""
    name, _dash, use = server.rpartition("-")
    return {"read": f"{name}, which only reads", "primary": name, "any": name}.get(use, server) if name else server


def _atlas(node: Node) -> str:
    seen = _seen(node).get("atlas")
    if seen is None:
        return NONE
    return f"NO ANSWER: {seen['reason']}" if seen["reason"] else ", ".join(f"{each['type']} {each['state']}" for each in seen["backends"])


def _web(node: Node) -> str:
    web = _seen(node)["web"]
    return f"answers in {web['milliseconds']:.0f} ms" if web["answers"] else f"NO ANSWER: {web['reason']}"


def _part(node: Node, finding: str, service: str) -> str:
    found = (node.said.get("findings") or {}).get(finding)
    if found is None:
        return node.service(service) or UNKNOWN
    verdict = found.get("verdict", UNKNOWN)
    return "answers" if verdict == "up" else f"{verdict.upper()}: {found.get('reason', '')}"


def _health(node: Node) -> str:
    if not node.said:
        return f"no answer: {_seen(node)['health']['reason']}"
    down = [name for name, found in (node.said.get("findings") or {}).items() if found.get("verdict") == "down"]
    if down:
        return f"DOWN: {', '.join(down)}"
    return "healthy" if node.said.get("severity") == 0 else "not known yet"


def _hears(node: Node) -> str:
    networks = node.said.get("networks")
    if networks is None:
        return UNKNOWN
    return " + ".join(name for name in NETWORKS if networks.get(name, {}).get("peer_heard")) or "NEITHER"


def _services(pair: Pair, node: Node) -> str:
    found = {name: how for name, how in _seen(node)["services"].items() if name in pair.expected}
    wrong = [f"{name} {how}" for name, how in found.items() if how != "active"]
    if not wrong:
        return f"all {len(found)} active"
    return wrong[0] if len(wrong) == 1 else f"{len(found) - len(wrong)} of {len(found)} active"


def _file_cell(name: str) -> Cell:
    def cell(node: Node) -> str:
        job = next((job for job in _seen(node)["files"] if job["name"] == name), None)
        if job is None:
            return NONE
        age = _seen(node)["time"] - job["finished"] if isinstance(job.get("finished"), int | float) else None
        return f"{job.get('result', UNKNOWN)}{f', {_span(age)} ago' if age is not None else ''}"

    return cell


def _disk_cell(path: str) -> Cell:
    def cell(node: Node) -> str:
        disk = _seen(node)["disks"].get(path)
        return NONE if disk is None else f"{disk['used_percent']} % used, {_size(disk['free_mb'])} free"

    return cell


def _uptime(node: Node) -> str:
    return _span(_seen(node)["uptime"])


def _span(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _size(megabytes: float) -> str:
    return f"{megabytes / 1024:.0f} GB" if megabytes >= 10240 else f"{megabytes:.0f} MB"


def draw(pair: Pair) -> list[str]:
    """Draw the table."""
    header = ("", [node.name if node.seen is not None else f"{node.name} (unreachable)" for node in pair.nodes])
    lines = [header, *rows(pair)]
    shown = [(title, [_short(cell) for cell in cells]) for title, cells in lines]
    left = max(len(title) for title, _cells in shown)
    widths = [max(len(cells[place]) for _title, cells in shown) for place in range(len(pair.nodes))]
    drawn = [
        "  ".join([title.ljust(left), *(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))]).rstrip()
        for title, cells in shown
    ]
    drawn.insert(1, "  ".join(["-" * left, *("-" * width for width in widths)]))
    return drawn


def _short(cell: str) -> str:
    cell = " ".join(cell.split())
    return cell if len(cell) <= WIDEST else cell[: WIDEST - 3] + "..."


def sentences(pair: Pair, found: list[Problem]) -> list[str]:
    """Say the verdict: one sentence, then one line per problem."""
    how = state(found)
    active, primary = one(pair.holders("outside")), one(pair.primaries())
    who = f"{active or 'Nobody known'} serves, {primary or 'nobody known'} takes writes."
    if how is State.HEALTHY:
        return [f"HEALTHY. {who} Either node may be lost."]
    return [f"{how.name}. {who}", *(f"  - {problem.text}" for problem in found)]


def summary(pair: Pair) -> dict[str, Any]:
    """Return the same for machines."""
    found = problems(pair)
    return {
        "pair": {
            "state": state(found).name.lower(),
            "active": one(pair.holders("outside")),
            "primary": one(pair.primaries()),
            "vips": dict(pair.vips),
            "problems": [{"state": problem.state.name.lower(), "text": problem.text} for problem in found],
        },
        "nodes": {
            node.name: {"reachable": False, "reason": node.reason}
            if node.seen is None
            else {"reachable": True, **node.seen}
            for node in pair.nodes
        },
    }
