# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node says of itself, as it goes through a heartbeat; and its memory, as it lies on the disk. Pure."""

from __future__ import annotations

import typing as t

from .model import Database, Memory, Said, State, Term

Plain = dict[str, t.Any]


def spoken(said: Said, at: float, echo: float | None) -> Plain:
    """at: this node's clock, which the peer sends back. echo: the newest such time of the peer that has come here."""
    return {
        "state": said.state.value,
        "database": said.database.value,
        "term": _term(said.term),
        "ceded": said.ceded,
        "fenced": said.fenced,
        "takeover": said.takeover,
        "able": said.able,
        "in_step": said.in_step,
        "ahead": said.ahead,
        "paused": said.paused_until,
        "failover": said.failover_at,
        "at": at,
        "echo": echo,
    }


def heard(plain: t.Any) -> tuple[Said, float] | None:
    """What the peer says, and its time; None for anything else. It is authentic, but perhaps of another version."""
    try:
        ahead, echo = plain["ahead"], plain["echo"]
        said = Said(
            state=State(plain["state"]),
            database=Database(plain["database"]),
            term=_term_of(plain["term"]),
            ceded=int(plain["ceded"]),
            fenced=plain["fenced"] is True,
            takeover=plain["takeover"] is True,
            able=plain["able"] is True,
            in_step=plain["in_step"] is True,
            ahead=ahead if isinstance(ahead, bool) else None,
            paused_until=float(plain["paused"]),
            failover_at=float(plain["failover"]),
            echo=None if echo is None else float(echo),
        )
        return said, float(plain["at"])
    except (KeyError, TypeError, ValueError):
        return None


def kept(memory: Memory) -> Plain:
    """The durable part."""
    return {
        "term": _term(memory.term),
        "previous": _term(memory.previous),
        "ceded": memory.ceded,
        "sealed": memory.sealed,
        "failover_at": memory.failover_at,
    }


def remembered(plain: t.Any) -> Memory:
    """Raises ValueError where that is no memory: a node that has forgotten who wrote last may not guess."""
    try:
        return Memory(
            term=_term_of(plain["term"]),
            previous=_term_of(plain["previous"]),
            ceded=int(plain["ceded"]),
            sealed=plain["sealed"] is True,
            failover_at=float(plain["failover_at"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a memory: {error}") from error


def _term(term: Term) -> list[t.Any]:
    return [term.epoch, term.writer, term.solo]


def _term_of(plain: t.Any) -> Term:
    epoch, writer, solo = plain
    return Term(int(epoch), str(writer), solo is True)
