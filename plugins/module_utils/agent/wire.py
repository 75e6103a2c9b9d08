# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Said and what is durable of Memory as plain values for JSON, and back. What is not exactly as it should be is refused. Pure."""

from __future__ import annotations

import math
import typing as t

from .model import Database, Memory, Said, State, Term

Plain = dict[str, t.Any]


def from_said(said: Said) -> Plain:
    """For a heartbeat."""
    return {
        "state": said.state.value,
        "database": said.database.value,
        "term": from_term(said.term),
        "ceded": said.ceded,
        "fenced": said.fenced,
        "takeover": said.takeover,
        "able": said.able,
        "in_step": said.in_step,
        "ahead": said.ahead,
        "paused_until": said.paused_until,
        "paused_at": said.paused_at,
        "failover_at": said.failover_at,
        "acknowledged_at": said.acknowledged_at,
        "common": said.common,
        "echo": said.echo,
    }


def to_said(plain: t.Any) -> Said | None:
    """None: it is not what an agent of this version says."""
    try:
        echo, ahead = plain["echo"], plain["ahead"]
        return Said(
            state=State(plain["state"]),
            database=Database(plain["database"]),
            term=to_term(plain["term"]),
            ceded=_whole(plain["ceded"]),
            fenced=_bool(plain["fenced"]),
            takeover=_bool(plain["takeover"]),
            able=_bool(plain["able"]),
            in_step=_bool(plain["in_step"]),
            ahead=None if ahead is None else _bool(ahead),
            paused_until=_number(plain["paused_until"]),
            failover_at=_number(plain["failover_at"]),
            # A daemon of an earlier version does not say these.
            paused_at=_number(plain.get("paused_at", 0.0)),
            acknowledged_at=_number(plain.get("acknowledged_at", 0.0)),
            common=_text(plain.get("common", "")),
            echo=None if echo is None else _number(echo),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def from_memory(memory: Memory) -> Plain:
    """For the disk: what is marked in Memory."""
    return {
        "term": from_term(memory.term),
        "previous": from_term(memory.previous),
        "ceded": memory.ceded,
        "sealed": memory.sealed,
        "failover_at": memory.failover_at,
        "together": memory.together,
    }


def to_memory(plain: t.Any) -> Memory:
    """Raises ValueError: a file that cannot be read must not be taken for a node that knows nothing."""
    try:
        return Memory(
            term=to_term(plain["term"]),
            previous=to_term(plain["previous"]),
            ceded=_whole(plain["ceded"]),
            sealed=_bool(plain["sealed"]),
            failover_at=_number(plain["failover_at"]),
            # A memory of an earlier version does not have it.
            together=_bool(plain.get("together", False)),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not the memory of an agent: {error!r}") from None


def from_term(term: Term) -> list[t.Any]:
    """Also for the witness."""
    return [term.epoch, term.writer, term.solo, term.firm]


def to_term(plain: t.Any) -> Term:
    """Raises TypeError or ValueError."""
    epoch, writer, solo, firm = plain
    if not isinstance(writer, str):
        raise ValueError(f"no name: {writer!r}")
    return Term(_whole(epoch), writer, _bool(solo), _bool(firm))


def _bool(value: t.Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"neither true nor false: {value!r}")
    return value


def _text(value: t.Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"no text: {value!r}")
    return value


def _whole(value: t.Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"no whole number: {value!r}")
    return value


def _number(value: t.Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"no number: {value!r}")
    return float(value)
