# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The thread that looks at this node's Atlas, and does what agent/atlas.py says. Whatever hangs there delays nobody else."""

from __future__ import annotations

import json
import logging
import threading
import typing as t
from dataclasses import dataclass, replace
from pathlib import Path

from ..atlas.admin import RO, Admin
from ..atlas.client import Account
from ..atlas.probe import Look, Watched, look
from ..atlas.wire import Endpoint
from ..errors import TandemError
from .atlas import Act, Judgement, Known, Times, alarms, judge, plain, state
from .journald import event

LOG = logging.getLogger("tandem.agent.atlas")


@dataclass(frozen=True)
class AtlasSettings:
    """secret_file: JSON with admin_password and password, which only the daemon reads. servers: address and type of each backend."""

    admin: tuple[str, int]
    admin_user: str
    proxy: tuple[str, int]
    user: str
    servers: tuple[tuple[str, str], ...]
    threads: int
    secret_file: str
    timeout: float = 1.0  # for each question

    def watched(self) -> Watched:
        """Raises OSError or ValueError where the secrets cannot be read."""
        said = json.loads(Path(self.secret_file).read_text(encoding="utf-8"))
        try:
            passwords = str(said["admin_password"]), str(said["password"])
        except (KeyError, TypeError):
            raise ValueError(f"{self.secret_file} lacks admin_password or password") from None
        admin = Endpoint(*self.admin, self.admin_user, passwords[0], self.timeout)
        return Watched(admin, self.proxy, Account(self.user, passwords[1], self.timeout), self.servers, self.threads)


def settings(raw: t.Mapping[str, t.Any]) -> AtlasSettings:
    """Raises KeyError, TypeError or ValueError."""
    servers = tuple((str(one["address"]), str(one["type"])) for one in raw["servers"])
    for address, kind in servers:
        if kind not in ("rw", "ro") or not address.rpartition(":")[2].isdigit():
            raise ValueError(f"servers: {address} ({kind}) is no address and port of type rw or ro")
    ports = [(str(raw[name][0]), int(raw[name][1])) for name in ("admin", "proxy")]
    return AtlasSettings(ports[0], str(raw["admin_user"]), ports[1], str(raw["user"]), servers, int(raw["threads"]), str(raw["secret_file"]))


@dataclass(frozen=True)
class Hands:
    """What the agent lends. restart: ends the process. busy: an operation works on this node. note: as the agent's."""

    restart: t.Callable[[], str]
    busy: t.Callable[[], bool]
    note: t.Callable[[str, dict[str, t.Any]], None]


class AtlasKeeper:
    """What the daemon's loop calls never waits. memory: a file with the readers that were taken offline, and whether it has ever worked."""

    def __init__(
        self,
        watched: Watched,
        memory: Path,
        clock: t.Callable[[], float],
        woken: t.Callable[[], None] = lambda: None,
        times: Times | None = None,
        looks: t.Callable[[Watched], Look] = look,
    ) -> None:
        self._watched, self._memory, self._clock, self._woken = watched, memory, clock, woken
        self._times, self._look = times or Times(), looks
        self.hands: Hands | None = None  # without them it only looks
        self._known = _recalled(memory)
        self._complaint = ""
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="atlas", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ends.set()

    # From the daemon's loop.

    def alarms(self) -> tuple[str, ...]:
        return alarms(self._known, self._clock(), self._times)

    def state(self) -> tuple[str, str]:
        return state(self._known, self._watched.servers, self._clock(), self._times)

    @property
    def worked(self) -> bool:
        """It has been seen to work, if only before the last boot."""
        return self._known.worked

    def status(self) -> dict[str, t.Any]:
        return plain(self._known, self._watched.servers, self._clock())

    # The thread.

    def _run(self) -> None:
        while True:
            before = (self.state()[0], self.alarms())
            try:
                self.turn()
            except Exception:
                # The thread's last line: a fault of ours must be seen, and looking goes on.
                LOG.exception("looking at Atlas")
            if (self.state()[0], self.alarms()) != before:
                self._woken()
            if self._ends.wait(self._times.every):
                return

    def turn(self) -> None:
        """One look, and what follows from it."""
        hands = self.hands
        seen = self._look(self._watched)
        busy = hands is None or hands.busy()
        judgement = judge(self._known, self._watched.servers, seen, self._clock(), busy, self._times)
        if judgement.row is not None and hands is not None:
            self._do(judgement, hands)
        else:
            self._keep(judgement.known)

    def _do(self, judgement: Judgement, hands: Hands) -> None:
        act, reason = judgement.row.act if judgement.row else None, judgement.row.reason if judgement.row else ""
        if act is None:
            return
        targets = ", ".join(judgement.targets)
        words = act.value + (f" ({targets})" if targets else "")
        before = self._known
        # First on the disk: whoever finds it offline has to know who did it. The next look drops what came to nothing.
        self._keep(judgement.known)
        try:
            said = hands.restart() if act is Act.RESTART else self._tell(act, judgement.targets)
        except TandemError as error:
            if self._complaint != str(error):
                LOG.error("%s: %s", words, error, extra=event("failed", action=act.value))
                hands.note("failed", {"action": words, "reason": str(error)})
            self._complaint = str(error)
            # It was not ended: that is neither counted nor waited for.
            self._keep(replace(self._known, restarted=before.restarted, restarts=before.restarts))
            return
        self._complaint = ""
        if act is Act.READER_ONLINE:
            self._keep(replace(self._known, mine=self._known.mine - set(judgement.targets)))
        LOG.warning("%s: %s", words, reason, extra=event("done", action=act.value))
        hands.note("done", {"action": words, "reason": reason, "said": said})

    def _tell(self, act: Act, targets: t.Iterable[str]) -> str:
        with Admin(self._watched.admin) as admin:
            for address in targets:
                (admin.set_offline if act is Act.READER_OFFLINE else admin.set_online)(address, RO)
        return "done"

    def _keep(self, known: Known) -> None:
        if (known.mine, known.worked) != (self._known.mine, self._known.worked):
            try:
                self._memory.write_text(json.dumps({"offline": sorted(known.mine), "worked": known.worked}), encoding="utf-8")
            except OSError as error:
                LOG.error("%s cannot be written: %s", self._memory, error.strerror)
        self._known = known


def _recalled(path: Path) -> Known:
    """Nothing where it cannot be read: then what is offline is a person's, and the Atlas perhaps a new one."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return Known(mine=frozenset(str(one) for one in said["offline"]), worked=said.get("worked") is True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Known()
