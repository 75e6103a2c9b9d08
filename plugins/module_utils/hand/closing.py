# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Close or stop a database that must be closed in time, and tell no client that a commit is done that is not."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from dataclasses import replace

from ..errors import OperationFailed, StatementFailed, TandemError
from ..gtid import MARIADB
from ..runner import Runner
from ..server import Server, look
from ..state import ABSENT, STOPPED
from .config import HandConfig

CLOSED, KILLED = "closed", "killed"
_TRIES = 5
# Seconds.
_PAUSE = 0.01
_STOP = 30


def shut(config: HandConfig, runner: Runner, seconds: float) -> str:
    """Closed for writes in time: a server that does not obey is killed. It comes back closed.

    seconds: for all of it, however many statements that takes; 0 kills it at once. Returns how.
    """
    if seconds <= 0:
        return _kill(config, runner)
    thread = ThreadPoolExecutor(1)
    try:
        thread.submit(_close, config, seconds).result(seconds)
        return CLOSED
    except (TandemError, TooLate):
        # A thread that hangs ends with its connection, which the server takes along.
        return _kill(config, runner)
    finally:
        thread.shutdown(wait=False)


def _close(config: HandConfig, seconds: float) -> None:
    """Raises TandemError where it cannot be closed, or does not answer."""
    server = Server.at(replace(config.root(), connect_timeout=seconds, read_timeout=seconds))
    try:
        if config.engine == MARIADB:
            _close_at_once(server)
        # Elsewhere closing would wait for the commits of these; they go on waiting for the replica when they are ended.
        for session in server.sessions(config.own_accounts):
            server.kill(session.id)
        server.close_for_writes(wait=max(1, int(seconds)))
    finally:
        server.close()


def _close_at_once(server: Server) -> None:
    """Raises StatementFailed while a commit is under way, which then waits for a replica that does not answer.

    No session may be ended before: MariaDB waits for the replica in the one session that leads a group of commits. Once
    that one is killed the group is committed without an answer, and the others of it are told that it is done.
    """
    for left in reversed(range(_TRIES)):
        try:
            return server.close_for_writes(wait=0)
        except StatementFailed:
            if not left:
                raise
            time.sleep(_PAUSE)
    return None


def _kill(config: HandConfig, runner: Runner, check: bool = True) -> str:
    runner.run(["systemctl", "kill", "--signal=KILL", config.service], timeout=20, check=check)
    return KILLED


def stop(config: HandConfig, runner: Runner) -> None:
    """Stop the service, also one that systemd keeps restarting. Raises OperationFailed.

    One that hangs is killed: systemd waits for it for as long as its unit says, Debian's for MariaDB a quarter of an hour,
    and never kills it.
    """
    halt = ["systemctl", "stop", config.service]
    if runner.run(halt, _STOP, check=False).status:
        # It may have ended in this moment; whether it did is looked at.
        _kill(config, runner, check=False)
        runner.run(halt, _STOP, check=False)
    state = look(config.root(), config.datadir).state
    if state not in (STOPPED, ABSENT):
        raise OperationFailed(f"The database of {config.node.name} was stopped and killed, and is {state}.", "Power that node off.")
