# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a status that may lack anything, be of another version, or come from a peer that is out of its mind.

Nothing here raises: what is missing or of the wrong type is None, and None means "not known".
"""

from __future__ import annotations

import math
import typing as t
from datetime import UTC, datetime

Status = t.Mapping[str, t.Any]


def dig(value: t.Any, *path: str) -> t.Any:
    """The value at that path of keys, or None."""
    for key in path:
        if not isinstance(value, t.Mapping):
            return None
        value = value.get(key)
    return value


def mapping(value: t.Any, *path: str) -> t.Mapping[str, t.Any]:
    """The mapping there with keys as text; empty when there is none."""
    found = dig(value, *path)
    return {str(key): item for key, item in found.items()} if isinstance(found, t.Mapping) else {}


def mappings(value: t.Any, *path: str) -> list[t.Mapping[str, t.Any]]:
    """The mappings of the list there."""
    found = dig(value, *path)
    return [mapping(item) for item in found if isinstance(item, t.Mapping)] if isinstance(found, (list, tuple)) else []


def number(value: t.Any, *path: str) -> float | None:
    """A finite number (a truth is none), or None."""
    found = dig(value, *path)
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        return None
    try:
        result = float(found)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def truth(value: t.Any, *path: str) -> bool | None:
    """True or False only when it says so."""
    found = dig(value, *path)
    return found if isinstance(found, bool) else None


def text(value: t.Any, *path: str) -> str:
    """Text; "" when there is nothing."""
    found = dig(value, *path)
    if found is None or isinstance(found, (t.Mapping, list, tuple)):
        return ""
    try:
        return str(found)
    except ValueError:  # a whole number of thousands of digits
        return ""


def printable(value: str) -> str:
    """One line without what would move a terminal's cursor or turn the direction of writing."""
    return "".join(character if character.isprintable() else " " if character.isspace() else "?" for character in value)


def texts(value: t.Any, *path: str) -> list[str]:
    """The texts of the list there; at most 50."""
    found = dig(value, *path)
    return [item for item in found if isinstance(item, str)][:50] if isinstance(found, (list, tuple)) else []


def moment(value: t.Any, *path: str) -> float | None:
    """Unix seconds, from a number or an ISO 8601 text (without a zone: UTC)."""
    found = dig(value, *path)
    if isinstance(found, str):
        try:
            parsed = datetime.fromisoformat(found)
        except ValueError:
            return None
        try:
            return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
        except (OverflowError, ValueError):
            return None
    return number(found)


def iso(unix: float | None) -> str:
    """UTC, in milliseconds: 2026-11-21T18:04:01.250Z; "" when it is not a time."""
    if unix is None:
        return ""
    try:
        return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (OverflowError, OSError, ValueError):
        return ""


def clock(unix: float | None) -> str:
    """UTC for a person: 2026-11-21 18:04:01."""
    return iso(unix)[:19].replace("T", " ") or "at an unknown time"


def span(seconds: float | None) -> str:
    """A length of time for a person: 250 ms, 3.2 s, 59 s, 12 min, 3 h 20 min, 2 d 4 h."""
    if seconds is None or not math.isfinite(seconds):
        return "not known"
    if seconds < 0:
        return "-" + span(-seconds)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds else "0 s"
    if seconds < 10:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if hours < 1:
        return f"{minutes} min"
    if days < 1:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{days} d {hours % 24} h" if hours % 24 else f"{days} d"


def role_of(status: t.Any) -> str:
    """The role of that node's database: primary, replica or unknown."""
    role = text(status, "database", "role")
    return role if role in ("primary", "replica") else "unknown"


def lag_of(status: t.Any) -> float | None:
    """Seconds that node's database is behind. None: no replica, not running, or not known."""
    lag = number(status, "database", "replication", "lag")
    return lag if lag is not None and lag >= 0 and truth(status, "database", "replication", "running") is not False else None


def peer_of(status: t.Any) -> t.Mapping[str, t.Any]:
    """What is known of the peer in the form of a status: its own, else what its heartbeats say; empty when it said nothing."""
    own = mapping(status, "peer", "status")
    said = mapping(status, "peer", "agent")
    if own or not said:
        return own
    role = "primary" if said.get("database") == "open" else "replica" if said.get("state") == "replica" else None
    return {
        "node": dig(status, "peer", "node"),
        "severity": dig(status, "peer", "severity"),
        "database": {"role": role, "look": "ok" if role else None},
        "agent": {"state": said.get("state"), "paused_until": said.get("paused_until"), "able": said.get("able"), "epoch": dig(said, "term", "epoch")},
    }


def operation_of(status: t.Any) -> str:
    """The name of the operation that runs there; "" when none does."""
    running = mapping(status, "agent", "operation")
    return (text(running, "action") or "an operation") if running else ""
