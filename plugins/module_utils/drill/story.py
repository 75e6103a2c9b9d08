# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What both nodes saw during a drill, put together."""

from __future__ import annotations

import itertools
import typing as t

Data = t.Mapping[str, t.Any]


def longest_gap(moments: t.Iterable[float], begin: float, end: float) -> float:
    """The longest time between two of these moments, from the last one before ``begin`` on."""
    known = sorted(moments)
    start = max((moment for moment in known if moment <= begin), default=begin)
    inside = [moment for moment in known if start < moment <= end]
    return max((two - one for one, two in itertools.pairwise([start, *inside, end])), default=0.0)


def overlap(first: t.Sequence[t.Sequence[float]], second: t.Sequence[t.Sequence[float]]) -> float:
    """Seconds that are in spans of both."""
    return sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in first for b in second)


def judge(nodes: t.Mapping[str, Data]) -> dict[str, t.Any]:
    """From each node's ``seen``, ``present`` (numbers in its database), ``struck`` and ``role`` (afterwards)."""
    acknowledged = {number for node in nodes.values() for number in node["seen"]["acknowledged"]}
    moments = [moment for node in nodes.values() for moment in node["seen"]["acknowledged"].values()]
    struck = next(name for name, node in nodes.items() if node["struck"])
    broken = nodes[struck]["seen"]["broken"]
    ended = min(node["seen"]["ended"] for node in nodes.values())
    pages = {name: node["seen"]["pages"] for name, node in nodes.items() if node["seen"]["pages"]}
    first, second = (node["seen"]["spans"] for node in nodes.values())
    return {
        "victim": struck,
        "acknowledged": len(acknowledged),
        "lost": {name: sorted(acknowledged - set(node["present"])) for name, node in nodes.items()},
        "both_wrote_ms": round(overlap(first, second) * 1000),
        "writes_out_ms": round(longest_gap(moments, broken, ended) * 1000),
        "pages_out_ms": round(max(longest_gap(found, broken, ended) for found in pages.values()) * 1000) if pages else None,
        "primary": next((name for name, node in nodes.items() if node["role"] == "primary"), ""),
    }


def tell(fault: str, verdict: Data) -> list[str]:
    """For a person."""
    lost = sum(len(numbers) for numbers in verdict["lost"].values())
    pages = verdict["pages_out_ms"]
    return [
        f"{fault} on {verdict['victim']}:",
        f"  writes were out for {verdict['writes_out_ms']} ms",
        f"  pages were out for {pages} ms" if pages is not None else "  pages were not asked for",
        f"  {verdict['acknowledged']} writes acknowledged, {lost} of them lost",
        f"  both databases took writes for {verdict['both_wrote_ms']} ms",
        f"  primary now: {verdict['primary'] or 'nobody'}",
    ]


def faultless(verdict: Data) -> bool:
    """Nothing was lost, never two writers, and something was written."""
    return bool(verdict["acknowledged"]) and not any(verdict["lost"].values()) and not verdict["both_wrote_ms"]
