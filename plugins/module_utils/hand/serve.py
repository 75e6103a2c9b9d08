# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hand's conversation: one JSON request a line, one JSON answer a line. It writes down what it does before it does it.

When the line breaks before the operation has ended, the node recovers by itself (see recover.py).
"""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from ..errors import Refused, TandemError, of_the_system
from .actions import Actions
from .config import PROTOCOL
from .journal import COMMIT, DIRECTORY, DOING, END, Journal, unfinished
from .lock import LOCK, take
from .recover import recover

# What only looks is not written down, and needs no operation.
_LOOKS = {
    "observe", "executed", "sessions", "traffic", "attached", "followed", "has_addresses", "wait_for", "limit", "prove_closed", "drain", "atlas_writers",
    "evidence", "logins", "left_out", "peer_open", "unit", "log_executed", "apply_received", "rescue_read", "health_agrees",
    "events",
    # Rows of its own in a table that is there for that; it changes no role, and is done while one changes.
    "drill_watch", "drill_rows",
}  # fmt: skip
_ACTS = {
    "rotate_binlog", "prepare_hold", "hold", "point_at", "let_in", "let_through", "watch_again", "close", "open", "forget_source",
    "semi_sync", "run_events", "prove_open", "canary_arrives", "kill_sessions", "follow_ahead", "attach", "settle", "give_addresses",
    "stop_unit", "start_unit", "stop_replication", "resume_replication", "rescue_extract", "rescue_apply", "replace", "atlas_offline", "atlas_online",
}  # fmt: skip
# Clients wait meanwhile, and a node that has lost its power would not act by them: its database comes up closed, and its proxy
# holds nobody, nor does its Atlas.
_PASSING = {"atlas_offline", "hold", "kill_sessions", "open", "attach", "settle", "point_at", "let_in", "let_through"}
# What makes this node safer needs no operation, and waits for none.
_FENCES = {"shut"}
# Nor does what no operation looks at.
_MENDS = {"end_atlas"}
# Acts that are too large to be written down, and leave nothing to take back.
_CARRIES = {"rescue_write"}


class Hand:
    """Answers requests. The lock is held from "begin" until the process ends.

    outdated: whether the settings that the actions have are not those of this node any more.
    """

    def __init__(
        self,
        actions: Actions,
        say: t.Callable[[str], None],
        directory: Path = DIRECTORY,
        lock: Path = LOCK,
        outdated: t.Callable[[], bool] = lambda: False,
    ) -> None:
        self._actions, self._outdated = actions, outdated
        self._say = say
        self._directory = directory
        self._lock = lock
        self._locked: t.IO[str] | None = None
        self._journal: Journal | None = None
        self._answering = self._leaving = False

    def leave(self) -> None:
        """From a signal handler: end now, or after the request or the operation that is under way. Raises SystemExit."""
        self._leaving = True
        if self._may_leave():
            raise SystemExit(0)

    def _may_leave(self) -> bool:
        return self._leaving and not self._answering and (self._journal is None or self._journal.ended)

    def serve(self, requests: t.Iterable[str], answer: t.Callable[[str], None]) -> None:
        """Until the line ends."""
        for line in requests:
            self._answering = True
            try:
                reply = self._reply(line)
            except TandemError as error:
                reply = {"ok": False, "kind": type(error).__name__, "message": error.message, "remedy": error.remedy}
            except Exception as error:
                # A full disk, or a mistake of ours: what has begun here has to be taken back, so the conversation goes on.
                reply = self._complaint(line, error)
            try:
                answer(json.dumps(reply, separators=(",", ":")))
            except OSError:
                break
            self._answering = False
            if self._may_leave():
                break
        self._answering = True
        if self._journal is not None and not self._journal.ended:
            recover(self._journal, self._actions, self._actions.config.node.name, self._say)

    def _complaint(self, line: str, error: Exception) -> dict[str, t.Any]:
        name = self._actions.config.node.name
        said = of_the_system(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        self._say(f"{line[:60]!r} failed: {said}")
        return {"ok": False, "kind": "OperationFailed", "message": f"{name}: {said}", "remedy": f"See journalctl -t tandem-hand on {name}."}

    def _reply(self, line: str) -> dict[str, t.Any]:
        try:
            request = json.loads(line)
            name, arguments = str(request["do"]), dict(request.get("with") or {})
        except (ValueError, KeyError, TypeError) as error:
            raise Refused(f"That is not a request: {error}.") from error
        return {"ok": True, "value": self._do(name, arguments)}

    def _do(self, name: str, arguments: dict[str, t.Any]) -> t.Any:
        if name == "hello":
            if self._journal is None and self._outdated():
                # An agent keeps a hand ready for days, and greets it before it is used.
                raise Refused(f"The settings of {self._actions.config.node.name} are newer than this hand.", "A new one knows them: try again.")
            return {"protocol": PROTOCOL, "name": self._actions.config.node.name, "unfinished": self._unfinished()}
        if name == "begin":
            return self._begin(str(arguments.pop("operation")), arguments)
        if name == "commit":
            return self._begun().write(COMMIT, arguments)
        if name == "end":
            return self._begun().write(END, arguments)
        if name in _LOOKS or name in _FENCES or name in _MENDS:
            return getattr(self._actions, name)(**arguments)
        if name in _CARRIES:
            self._begun()
            return getattr(self._actions, name)(**arguments)
        if name in _ACTS:
            self._begun().write(DOING, {"do": name, "with": arguments}, lasting=name not in _PASSING)
            return getattr(self._actions, name)(**arguments)
        raise Refused(f"Nobody here knows how to {name!r}.", "Both nodes need the same version: run playbooks/operations.yml.")

    def _begin(self, operation: str, request: dict[str, t.Any]) -> list[str]:
        """Take the node for one operation; first bring what was broken off to an end. Returns what that said."""
        self._take_lock()
        said: list[str] = []
        for journal in unfinished(self._directory):
            outcome = recover(journal, self._actions, self._actions.config.node.name, self._say, late=True)
            said.append(f"{self._actions.config.node.name}: operation {journal.operation} had been broken off; it is {outcome} now.")
        self._journal = Journal.create(operation, request, self._directory)
        return said

    def _unfinished(self) -> list[dict[str, t.Any]]:
        return [
            {"operation": journal.operation, "committed": journal.committed, "request": journal.request}
            for journal in unfinished(self._directory)
        ]

    def _take_lock(self) -> None:
        if self._locked is None:
            self._locked = take(self._actions.config.node.name, self._lock)

    def _begun(self) -> Journal:
        if self._journal is None:
            raise Refused("No operation has begun here.", "Say begin first.")
        return self._journal
