# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operation can ask of one node. Every action can be done twice. Nothing here decides."""

from __future__ import annotations

import base64
import time
import typing as t
import urllib.error
import urllib.request
from dataclasses import asdict

from ..connection import Connection, Endpoint
from ..drill import rows, watching
from ..errors import NotYet, OperationFailed, Refused, TandemError
from ..fence.restoring import of_persons
from ..gtid import MARIADB, GtidSet
from ..inspection import left_out
from ..operations.attaching import Source
from ..room import free_if_known
from ..runner import Runner
from ..seed.datadir import DataDirectory
from ..server import Server, look
from . import canary, evidence, rescue, splitting, vip
from .closing import shut, stop
from .config import HandConfig
from .haproxy import HAProxy, InFlight
from .replacing import replace_data
from .unit import unit

_POLL = 0.005
_CANARY = "operation"
# Seconds. Between the look at the sessions while waiting for them; the lock that closing takes.
_SESSIONS_POLL = 0.002
_CLOSE_LOCK = 2
_DUMPS_END = 5
Plain = dict[str, t.Any]


class Actions:
    """One node. Keeps its connection to the server for as long as an operation lasts."""

    def __init__(self, config: HandConfig, runner: Runner | None = None, say: t.Callable[[str], None] = lambda _text: None) -> None:
        """say: where progress goes."""
        self.config = config
        self._say = say
        self._runner = runner or Runner()
        self._server: Server | None = None
        self._proxy: HAProxy | None = None
        self._in_flight: InFlight | None = None

    def reconnect(self) -> None:
        """Log in anew: the server may have been restarted since."""
        if self._server is not None:
            self._server.close()
            self._server = None

    # Looking.

    def observe(self) -> Plain:
        """The state of the server, whether or not it answers, and who holds the addresses."""
        state = look(self.config.root(), self.config.datadir)
        return {
            "server": state.as_dict(),
            "address": self.config.node.address,
            "holds_vips": vip.held(self.config.vips, self._runner),
            "holds_any_vip": vip.held_any(self.config.vips, self._runner),
            "proxy": self._proxy_state(),
            "disk_free": free_if_known(self.config.datadir),
            "fenced": of_persons(),
        }

    def _proxy_state(self) -> Plain | None:
        if (proxy := self._maybe_proxy()) is None:
            return None
        try:
            return {"servers": proxy.servers(), "reason": ""}
        except TandemError as error:
            return {"servers": {}, "reason": str(error)}

    def executed(self) -> str:
        return str(self._db().executed())

    def sessions(self) -> list[Plain]:
        """Sessions of applications, and of administrators."""
        server = self._db()
        return [asdict(session) for session in (*server.sessions(self.config.own_accounts), *server.administrators())]

    def traffic(self, server: str) -> Plain:
        if (proxy := self._maybe_proxy()) is None:
            return {"active": 0, "queued": 0}
        seen = proxy.traffic(server)
        return {"active": seen.active, "queued": seen.queued}

    # The writer port.

    def prepare_hold(self, limit: int) -> Plain:
        """Everything for hold that takes time. limit: see there."""
        if proxy := self._maybe_proxy():
            proxy.prepare()
        return {"limit": limit}

    def hold(self, server: str, limit: int) -> Plain:
        """New connections wait from now on. Returns those in flight.

        limit: what the proxy lets through otherwise. It is not needed here, but by whoever takes this back from the journal.
        """
        if proxy := self._maybe_proxy():
            proxy.hold(server)
        return {**self.traffic(server), "limit": limit}

    def drain(self, server: str, seconds: float) -> Plain:
        """Wait a while for the requests that are in flight when this is asked first.

        ``left``: those that have not ended yet; ``kept``: connections that their clients keep, which are not waited for.
        Ask again for a longer wait: a hand that waits does not notice that its operation has died.
        """
        if (proxy := self._maybe_proxy()) is None:
            return {"left": 0, "kept": 0}
        until = time.monotonic() + seconds
        if self._in_flight is None:
            self._in_flight = proxy.in_flight(server)
        left = proxy.wait_for(self._in_flight.requests, server, until)
        return {"left": len(left), "kept": self._in_flight.kept}

    def point_at(self, server: str, other: str, limit: int, few: bool = False) -> Plain:
        """Whoever waits goes to this server. few: the first of them, so that they are served soon; then let_in."""
        if (proxy := self._maybe_proxy()) is None:
            return {"queued": 0}
        waiting = proxy.traffic(server).queued
        proxy.point_at(server, [other], limit, few)
        return {"queued": waiting}

    def let_in(self, server: str, limit: int) -> None:
        if proxy := self._maybe_proxy():
            proxy.let_in(server, limit)

    def let_through(self, server: str, limit: int) -> None:
        if proxy := self._maybe_proxy():
            proxy.let_through(server, limit)

    def limit(self, server: str) -> int:
        """How many connections the proxy lets through to a server when nothing is held."""
        proxy = self._maybe_proxy()
        return proxy.limit(server) if proxy else 0

    def watch_again(self, seconds: float = 5) -> None:
        """Believe the health checks again, once they say what is so. Each proxy asks both nodes: let health_agrees() come first on both."""
        proxy = self._maybe_proxy()
        if proxy is not None:
            self.health_agrees(seconds)
            proxy.watch_again()

    def health_agrees(self, seconds: float = 5) -> bool:
        """Whether the health daemon of this node has seen the present role of its server, within so many seconds."""
        deadline = time.monotonic() + seconds
        while self.config.health_url and not self._is_seen():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL * 4)
        return True

    def _is_seen(self) -> bool:
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{self.config.health_url}/primary", timeout=1) as answer:
                open_there = answer.status == 200
        except urllib.error.HTTPError:
            open_there = False
        except (OSError, ValueError):
            return True  # nobody to wait for
        try:
            return bool(open_there == self._db().observe().writable)
        except TandemError:
            return not open_there  # a server that does not run is not open

    # The server.

    def close(self) -> Plain:
        """Closed for writes, and proven: a write as an application is refused. Raises OperationFailed otherwise."""
        self._db().close_for_writes(wait=_CLOSE_LOCK)
        return self.prove_closed()

    def shut(self, seconds: float) -> Plain:
        """Closed for writes in time, whatever it takes. See closing.shut."""
        return {"how": shut(self.config, self._runner, seconds)}

    def end_atlas(self) -> Plain:
        """Kill this node's Atlas, which may be frozen: systemd starts it again at once."""
        return {"killed": splitting.end(self.config, self._runner)}

    def atlas_writers(self) -> list[str]:
        return splitting.writers(self.config)

    def atlas_offline(self, addresses: list[str]) -> str:
        return splitting.offline(self.config, addresses)

    def atlas_online(self, addresses: list[str]) -> None:
        splitting.online(self.config, addresses)

    # Drills.

    def drill_watch(self, run: str, seconds: float) -> Plain:
        """Write into this database as an application would, for so long. Raises Refused for a name or a time that cannot be."""
        rows.check_name(run)
        if not 0 < seconds <= 300:
            raise Refused("A drill takes 300 seconds at most.", "Nothing was broken.")
        plan = watching.Plan(seconds, 0.0, 0.0, None, lambda: None)
        return asdict(watching.watch(self.config.canary(), run, self.config.node.name, "", plan))

    def drill_rows(self, run: str, remove: bool) -> Plain:
        """Which of them are here. remove: and away with them, where this is the primary."""
        return rows.rows(self.config.root(), run, remove)

    def prove_closed(self) -> Plain:
        seen = canary.write(self.config.canary(), _CANARY, "fence")
        if not seen["refused"]:
            raise OperationFailed(
                f"{self.config.node.name} is not proven closed: {seen['reason']}",
                "A write as an application must be refused. See playbooks/check.yml.",
            )
        return {"executed": str(self._db().executed()), "reason": seen["reason"]}

    def open(self, semi_sync: bool | None = True, forget: bool = True) -> None:
        """Take writes; whatever comes from the source, if there is one, is not applied any more.

        semi_sync: whether commits wait for a replica; None leaves that as it is.
        forget: the source as well. A server that is connecting to a dead machine needs 2 s for that; then forget_source does it later.
        """
        server = self._db()
        if server.has_source():
            server.stop_applying()
            if forget:
                server.stop_replica()
                server.forget_source()
        server.set_semi_sync(source=semi_sync, replica=True, timeout=self.config.semi_sync_timeout)
        # What is written from now on is never given up for what was here before a copy.
        DataDirectory(self.config.datadir).settle()
        server.open_for_writes()

    def forget_source(self) -> None:
        """After open without it, or after follow_ahead."""
        server = self._db()
        if server.has_source():
            server.stop_replica()
            server.forget_source()
        server.start_at_boot(True)

    def events(self) -> dict[str, str]:
        """Status of every scheduled event, by name."""
        return self._db().events()

    def run_events(self, before: dict[str, str] | None = None) -> list[str]:
        """Run the scheduled events that came by replication. before: their status on the peer. Returns what became of them, in words."""
        return self._db().run_events(before)

    def semi_sync(self, source: bool) -> None:
        server = self._db()
        server.set_semi_sync(source=source, replica=True, timeout=self.config.semi_sync_timeout)
        if not source and server.dialect.engine != MARIADB:
            # MySQL lets go of those that wait only when no replica is connected; one that hangs is.
            server.end_dumps(_DUMPS_END)

    def prove_open(self, token: str, may_wait: bool = False) -> str:
        """Raises OperationFailed unless an application can write here.

        may_wait: see canary.write_or_wait. Returns what is to be told of a commit that waits; empty: nothing.
        """
        seen = canary.write_or_wait(self.config.canary(), _CANARY, token, self._db().waits_for_replica if may_wait else None)
        if not (seen["written"] or seen["waits"]):
            raise OperationFailed(f"{self.config.node.name} does not take writes: {seen['reason']}", "See playbooks/status.yml.")
        return f"{self.config.node.name} takes writes, and its commits wait for the replica." if seen["waits"] else ""

    def canary_arrives(self, token: str, seconds: float) -> float:
        """Seconds until a canary of the other server is read here. Raises OperationFailed if it never is."""
        started = time.monotonic()
        with Connection(self.config.root()) as connection:
            arrived = canary.arrives(connection, _CANARY, token, seconds)
        if not arrived:
            raise OperationFailed(f"A row of {self.config.peer.name} is not on {self.config.node.name} within {seconds:g} s.", "See playbooks/check.yml.")
        return round(time.monotonic() - started, 4)

    def kill_sessions(self, seconds: float) -> Plain:
        """End every session of an application: each between two statements if it comes there in time. Who comes back later is left."""
        server = self._db()
        deadline = time.monotonic() + seconds
        between = broken = 0
        late, seen = False, set[int]()
        while not late and (sessions := [s for s in server.sessions(self.config.own_accounts) if s.id not in seen]):
            late = time.monotonic() >= deadline
            for session in sessions:
                # At once: a second look at each would take longer than the time in which it may begin a statement.
                if session.between or late:
                    server.kill(session.id)
                    seen.add(session.id)
                    between += session.between
                    broken += not session.between
            if any(session.id not in seen for session in sessions):
                time.sleep(_SESSIONS_POLL)
        return {"between": between, "broken": broken}

    def wait_for(self, transactions: str, seconds: float) -> Plain:
        """Wait until these are applied. Raises NotYet when they are not in time, OperationFailed when they cannot come any more."""
        server = self._db()
        wanted = GtidSet.parse(transactions, server.dialect.engine)
        if server.wait_for(wanted, seconds):
            return {"executed": str(server.executed())}
        told = server.observe().replication
        lacks = f"{self.config.node.name} lacks {server.executed().behind(wanted)} transactions of {self.config.peer.name}"
        if told is not None and told.sql_running:
            raise NotYet(f"{lacks}, and is still applying.", "Let it catch up (playbooks/catchup.yml), then run this again.")
        why = "it has no source" if told is None else told.sql_error or "its SQL thread is stopped"
        raise OperationFailed(f"{lacks}: {why}.", "See playbooks/check.yml.")

    def rotate_binlog(self) -> None:
        self._db().rotate_binlog()

    def attach(self) -> None:
        """Follow the peer by GTID, from where this server is. Does not wait."""
        self._db().close_for_writes(wait=_CLOSE_LOCK)
        self._follow()

    def follow_ahead(self) -> bool:
        """The same while this server is still open, so that the peer has its replica with its first commit. False: it cannot.

        MySQL: what the peer applies comes from here, and is dropped here by its server_id. Should this server crash now, it must not
        come back following: it may have what the peer lacks. So replication does not start with it until settle or forget_source.
        MariaDB has to be told its position, which changes with every commit.
        """
        server = self._db()
        if not server.dialect.boot_switch:
            return False
        server.start_at_boot(False)
        self._follow()
        return True

    def _follow(self) -> None:
        server = self._db()
        if server.has_source():
            server.stop_replica()
        server.set_semi_sync(replica=True)
        if server.dialect.engine == MARIADB:
            # What this server wrote itself as a primary counts too.
            server.set_position(server.executed())
        server.set_source(self._source().options(server.dialect.engine))
        server.start_replica()

    def settle(self) -> None:
        """After attach, which clients wait for: this server waits for no replica any more, and sends to none."""
        server = self._db()
        server.end_dumps(_DUMPS_END)
        server.set_semi_sync(source=False, replica=True)
        server.start_at_boot(True)

    def attached(self, seconds: float) -> Plain:
        """Wait until this server replicates. ``healthy`` False with the reason: it does not yet."""
        deadline = time.monotonic() + seconds
        while True:
            told = self._db().observe().replication
            if told is not None and told.healthy:
                return {"healthy": True, "reason": ""}
            if time.monotonic() >= deadline:
                reason = "it has no source" if told is None else told.io_error or told.sql_error or "it is still connecting"
                return {"healthy": False, "reason": reason}
            time.sleep(_POLL)

    def followed(self, seconds: float) -> bool:
        """Wait until a replica listens here, so that a commit is on both."""
        deadline = time.monotonic() + seconds
        while not self._db().semi_sync_clients():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL)
        return True

    def replace(self, seconds: float) -> Plain:
        """See replacing.replace_data. The server is another one afterwards."""
        try:
            return replace_data(self.config, self._source(), self._runner, seconds, self._say)
        finally:
            self.reconnect()

    def _source(self) -> Source:
        peer, config = self.config.peer, self.config
        return Source(peer.name, Endpoint(host=peer.address, port=peer.port), config.replication_user, config.replication_password, config.ca)

    # What a failover needs.

    def evidence(self, outside: str = "") -> list[Plain]:
        """What is seen of the peer from here, path by path."""
        return evidence.gather(self.config, outside)

    def peer_open(self) -> bool | None:
        """Whether the peer's server takes writes; None: it cannot be asked."""
        return evidence.peer_open(self.config)

    def logins(self) -> list[str]:
        """What is wrong with the accounts that an operation needs: this node's at the peer, the canary's here."""
        return evidence.logins(self.config)

    def left_out(self) -> list[str]:
        """Filters and a delay of replication that are set on this node's server."""
        return left_out(self.config.root())

    def unit(self) -> Plain:
        """The service of the database: its state, how often systemd has restarted it, and for how long it has been down (s)."""
        return unit(self.config.service, self._runner)

    def stop_unit(self) -> None:
        """Stop the service of the database, whatever it takes. See closing.stop."""
        stop(self.config, self._runner)

    def start_unit(self) -> None:
        """Start it again, without waiting: it comes up closed."""
        self._runner.run(["systemctl", "start", "--no-block", self.config.service], timeout=20)

    def log_executed(self) -> Plain:
        """What the binary log holds, read from its files: for a server that does not run."""
        return {"executed": str(self._log().executed())}

    def apply_received(self, seconds: float) -> Plain:
        """Wait until the relay log is applied. Raises OperationFailed when it is not, or cannot be."""
        self._db().apply_received(seconds)
        return {"executed": str(self._db().executed())}

    def stop_replication(self) -> None:
        self._db().stop_replica()

    def resume_replication(self) -> None:
        """Closed, and following the same source as before from where this server is now."""
        server = self._db()
        server.close_for_writes(wait=_CLOSE_LOCK)
        seen = server.observe()
        if seen.replication is None:
            return
        server.stop_replica()
        if server.dialect.engine == MARIADB:
            # What was rescued is not in the position of the replica yet.
            server.set_position(server.executed())
        server.start_replica()

    def rescue_extract(self, name: str, known: str, seconds: float) -> Plain:
        """Write what the other server lacks to a file here."""
        target = rescue.path_of(name)
        return {**self._log().extract(GtidSet.parse(known, self.config.engine), target, seconds), "file": str(target)}

    def rescue_read(self, name: str, offset: int) -> str:
        """A piece of that file, in base64; empty: there is no more."""
        return base64.b64encode(rescue.read_chunk(rescue.path_of(name), offset)).decode()

    def rescue_write(self, name: str, offset: int, data: str) -> None:
        rescue.write_chunk(rescue.path_of(name), offset, base64.b64decode(data))

    def rescue_apply(self, name: str, sha256: str, seconds: float) -> Plain:
        """Execute the file here. Applications stay locked out. What is there already must not be in it."""
        path = rescue.path_of(name)
        if rescue.digest(path) != sha256:
            raise OperationFailed(f"{path} did not arrive as it was sent.", "Run this again.")
        server = self._db()
        if server.observe().writable:
            raise Refused(f"{self.config.node.name} takes writes: nothing is put beneath them.", "See playbooks/status.yml.")
        server.close_for_applications()
        try:
            rescue.apply(path, self.config.engine, self.config.socket, seconds)
        finally:
            server.close_for_writes(wait=_CLOSE_LOCK)
        return {"executed": str(server.executed())}

    def _log(self) -> rescue.BinaryLog:
        return rescue.BinaryLog(self.config.datadir, self.config.engine)

    # The addresses.

    def give_addresses(self, seconds: float) -> Plain:
        """Let the peer have them. Raises OperationFailed, with them back if nobody else took them."""
        return {"seconds": vip.give(self.config.vips, self.config.away_file, self.config.node.name, self._runner, seconds)}

    def has_addresses(self, seconds: float) -> bool:
        """Wait until this node holds them all."""
        return vip.wait_for(self.config.vips, self._runner, seconds)

    # Its own.

    def _maybe_proxy(self) -> HAProxy | None:
        if not self.config.proxy.control:
            return None
        if self._proxy is None:
            proxy = self.config.proxy
            self._proxy = HAProxy(proxy.control, proxy.address, proxy.port, proxy.backend)
        return self._proxy

    def _db(self) -> Server:
        if self._server is None:
            self._server = Server.at(self.config.root())
        return self._server
