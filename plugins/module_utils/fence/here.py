# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fence that a person makes on the node itself: recorded and proven as by playbooks/fence.yml, but the database is closed at once."""

from __future__ import annotations

import contextlib
import time
import typing as t
from dataclasses import replace

from ..decide import Node
from ..errors import TandemError
from ..hand.actions import Actions
from ..hand.client import HandClient, peer_command
from ..hand.closing import shut
from ..hand.config import HandConfig
from ..hand.lock import held
from ..runner import Runner
from ..server import Server
from ..state import ABSENT, STOPPED, UNKNOWN, ServerState
from .driver import Driver
from .fencing import Outcome, fence, unfence
from .read_only import ReadOnly
from .record import Record

# Seconds. A server that is slower is killed; systemd starts it again, closed.
_CLOSE = 1.0
_COMES_BACK = 60.0
_POLL = 0.2
_DRAIN = 2.0
_TIMEOUT = 60.0


def look_at_peer(config: HandConfig) -> Node:
    """The other server as its hand sees it; silence is "unknown", and so is a machine without data: its disk may not be mounted."""
    hand = HandClient(config.peer.name, peer_command(config.peer))
    fenced: tuple[str, ...] = ()
    try:
        hand.greet()
        seen = hand.call("observe")
        fenced = tuple(seen.get("fenced") or ())
        state = ServerState.from_dict(seen["server"])
        if state.state == STOPPED:
            state = _with_its_log(hand, state, config.engine)
        elif state.state == ABSENT:
            state = replace(state, state=UNKNOWN)
    except TandemError as error:
        state = ServerState(reason=str(error))
    finally:
        hand.close()
    return Node(config.peer.name, config.peer.address, state, fenced)


def _with_its_log(hand: HandClient, state: ServerState, engine: str) -> ServerState:
    """It may have been the primary since. Where its binary log cannot be read, the reason says why."""
    try:
        return replace(state, engine=engine, gtid=hand.call("log_executed")["executed"])
    except TandemError as error:
        return replace(state, reason=str(error))


def fence_here(config: HandConfig) -> tuple[str, str]:
    """How this database was closed, and how that was proven."""
    return close_and_hold(Record(), lambda: _is_open(config), lambda: shut(config, Runner(), _CLOSE), lambda: _driver(config))


def unfence_here(config: HandConfig, peer_is_dead: bool) -> tuple[Outcome, list[str]]:
    """What was done, and the fences that others have made and that stand. Raises Refused where the database may not open."""
    record = Record()
    with _driver(config, peer_is_dead) as driver:
        return unfence([driver], record, dry_run=False), sorted(record.read())


def close_and_hold(
    record: Record,
    is_open: t.Callable[[], bool],
    close: t.Callable[[], str],
    driver: t.Callable[[], contextlib.AbstractContextManager[Driver]],
) -> tuple[str, str]:
    """Whatever runs: the agent leaves a node alone that has a record, so that comes first.

    driver: waits for the operation that runs. What that has opened meanwhile is closed again, and proven closed.
    """
    try:
        was_open = is_open()
    except TandemError:
        was_open = False  # Nobody knows: taking the fence away opens nothing.
    record.keep(ReadOnly.name, {"was_open": was_open})
    try:
        how = close()
    except TandemError as error:
        how = str(error)  # The proof says whether it is closed.
    with driver() as one:
        return how, fence([one], record, dry_run=False).proof[one.name]


def _is_open(config: HandConfig) -> bool:
    server = Server.at(replace(config.root(), connect_timeout=_CLOSE, read_timeout=_CLOSE))
    try:
        return bool(server.observe().writable)
    finally:
        server.close()


@contextlib.contextmanager
def _driver(config: HandConfig, peer_is_dead: bool = False) -> t.Iterator[Driver]:
    with held(config.node.name):
        server = _back(config)
        try:
            yield ReadOnly(
                Actions(config), server, lambda: look_at_peer(config), peer_is_dead=peer_is_dead, drain=_DRAIN, timeout=_TIMEOUT
            )
        finally:
            server.close()


def _back(config: HandConfig) -> Server:
    """One that was killed is started again."""
    deadline = time.monotonic() + _COMES_BACK
    while True:
        try:
            return Server.at(config.root())
        except TandemError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_POLL)
