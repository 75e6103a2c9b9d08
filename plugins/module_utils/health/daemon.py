# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The daemon: looks at its node, talks to its peer, decides, and tells keepalived. One event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..agent.atlas_keeper import AtlasKeeper
from . import database as db
from .agency import Agency
from .certificate import Certificate
from .config import Config
from .decide import decide
from .heartbeat import Conversation
from .http import Server
from .knock import Knocks
from .links import PeerLink, Reference
from .model import WEIGHT, Database, Decision, Finding, Local, Peer, Raw, Verdict
from .services import ProcessWatch, look_at_php, look_at_web
from .steady import NetworkWatch, Steady, public_strikes
from .system import Carrier, FaultFile, Memory, Readiness, inherited_sockets, notify, process_of

LOG = logging.getLogger("tandem.health")
VERSION = 1
STATE = Path("/var/lib/tandem-health")  # systemd makes it, with an agent or without
# Seconds. ..._CALM: between two looks while nothing happens; the end of a process is told by the kernel.
# A restart that was planned (database, php-fpm) must not move the addresses; a dead web server must.
WEB_EVERY, WEB_CALM, WEB_TIMEOUT, WEB_DOWN_AFTER, WEB_SILENT_AFTER = 0.25, 0.5, 1.0, 0.5, 3.0
PHP_EVERY, PHP_CALM, PHP_TIMEOUT, PHP_DOWN_AFTER = 0.5, 1.0, 1.0, 2.0
DATABASE_EVERY, DATABASE_CALM, DATABASE_TIMEOUT, DATABASE_DOWN_AFTER, DATABASE_SILENT_AFTER = 0.3, 1.0, 1.5, 2.0, 10.0
# How long a server is still called what it was when it last said so: closing its sessions because it is slow or has
# no connection left would make things worse. A server that was gone is believed nothing.
# systemd starts a process again that has ended, within a second.
ATLAS_EVERY, ATLAS_DOWN_AFTER = 0.5, 3.0
_ATLAS = {"up": Raw.OK, "dead": Raw.BROKEN, "frozen": Raw.BROKEN, "refuses": Raw.BROKEN, "unknown": Raw.BUSY}
DATABASE_BELIEVED = {Raw.OK: 10.0, Raw.SILENT: 10.0, Raw.BUSY: 60.0, Raw.BROKEN: 0.0}
START_GRACE = 3.0
READY_WITHIN = 3.0
PEER_QUIET = 2  # missing beats
STOOD_STILL = 2.0
FROZEN_FOR = 0.7


class Daemon:
    """Everything that has state."""

    def __init__(self, config: Config, key: bytes) -> None:
        self.config = config
        self.fault_file = FaultFile(config.fault_file)
        self.certificate = Certificate()
        self.memory = Memory(config.state_file)
        self.conversation = Conversation(key, config.node, config.peer)
        self.services: dict[str, Steady] = {}
        self.watches = {
            n.name: NetworkWatch(n.reference, n.reference in self.memory.trusted, config.strikes, config.patience, config.strikes)
            for n in config.networks
        }
        self.carriers = {network.name: Carrier(network.interface) for network in config.networks}
        self.peer_links = {n.name: PeerLink(n, config.port, self._beat_received) for n in config.networks}
        self.references = {
            n.name: Reference(n, n.reference, self.watches[n.name].answered) for n in config.networks if n.reference
        }
        self.peer_state: dict[str, t.Any] = {}
        self.peer_silence = config.peer_ticks + 1
        self._peer_dead = False
        self._knocks = Knocks(config.networks, config.http[0][1])
        self.decision = Decision(None, "starting")
        self.frozen_until = 0.0
        self.began = time.monotonic()
        self._last_tick = self.began
        self._database: Database | None = None
        self._database_at = 0.0
        self._looked_at = 0.0
        self._database_look: tuple[Raw, str] = (Raw.SILENT, "not looked at yet")
        self._web_process = ProcessWatch(self._web_died)
        self._web_seen = False
        self._wake_web = asyncio.Event()
        self._look_again = asyncio.Event()
        self._server = Server(self)
        self._tasks: list[asyncio.Task[None]] = []
        self._readiness = Readiness(READY_WITHIN)
        self._logged: dict[str, Verdict] = {}
        self._announced: tuple[t.Any, ...] = ()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._database_process = ProcessWatch(self._database_died)
        self.agent_problem = ""  # why there is none
        self.agency = self._make_agency()
        self.atlas = self._make_atlas()

    def _make_agency(self) -> Agency | None:
        """A node whose agent cannot remember must not guess; everything else here goes on."""
        if self.config.agent is None:
            return None
        try:
            return Agency(self.config, self.config.agent, self)
        except (OSError, ValueError) as error:
            self.agent_problem = f"{self.config.agent.directory} cannot be used: {error}"
            LOG.error("no agent: %s", self.agent_problem)
            return None

    def _make_atlas(self) -> AtlasKeeper | None:
        """A thread of its own: whatever hangs there delays nobody else."""
        memory = (Path(self.config.agent.directory) if self.config.agent else STATE) / "atlas.json"
        if self.config.atlas is None:
            # A later one is new again: it may be down until it is installed.
            with contextlib.suppress(OSError):
                memory.unlink(missing_ok=True)
            return None
        try:
            keeper = AtlasKeeper(self.config.atlas.watched(), memory, lambda: time.clock_gettime(time.CLOCK_BOOTTIME), self._atlas_told)
        except (OSError, ValueError) as error:
            LOG.error("Atlas is not watched: %s", error)
            return None
        if self.agency is not None:
            keeper.hands = self.agency.lend_hands()
        return keeper

    def _atlas_told(self) -> None:
        """From its thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the daemon ends
                self._loop.call_soon_threadsafe(self._step_agent)

    def atlas_alarms(self) -> tuple[str, ...]:
        return self.atlas.alarms() if self.atlas is not None else ()

    # What the HTTP side sees.

    @property
    def started(self) -> bool:
        return self.config.database is None or self._database_look[1] != "not looked at yet"

    @property
    def severity(self) -> int | None:
        return self.local().severity()

    def summary(self) -> str:
        local = self.local()
        if local.severity() == 0:
            return "healthy"
        return "; ".join(
            f"{n}: {f.reason}" for n, f in local.findings.items() if f.verdict in (Verdict.DOWN, Verdict.STARTING)
        )

    def database(self) -> tuple[Raw, str, Database | None]:
        raw, text = self._database_look
        believed = time.monotonic() - self._database_at <= DATABASE_BELIEVED[raw]
        return raw, text, self._database if believed else None

    def status(self, whole: bool = False) -> dict[str, t.Any]:
        """Everything. whole: with what the peer has shown of itself."""
        local = self.local()
        raw, text, database = self.database()
        replica = database.replica if database else None
        return {
            "version": VERSION,
            "node": self.config.node,
            "uptime": round(time.monotonic() - self.began, 1),
            "severity": local.severity(),
            "fault": self.fault_file.value,
            "reason": self.decision.reason,
            "findings": {n: {"verdict": f.verdict.value, "reason": f.reason} for n, f in local.findings.items()},
            "certificate_ends": self.certificate.ends,
            "database": {
                "look": raw.value,
                "text": text,
                "role": None if database is None else "replica" if database.read_only else "primary",
                "version": database.version if database else None,
                "replication": None
                if replica is None
                else {
                    "running": replica.running,
                    "lag": replica.lag,
                    "source": replica.source,
                    "error": replica.error,
                },
            },
            "networks": {
                name: {
                    "reference": watch.reference,
                    "reference_trusted": watch.trusted,
                    "missed": max(0, watch.strikes - 1),
                    "peer_heard": watch.peer_heard,
                }
                for name, watch in self.watches.items()
            },
            "peer": {
                "node": self.config.peer,
                "alive": self._peer_alive(),
                "severity": self.peer().severity,
                "down": list(self.peer().down),
                "state": self.peer_state if self._peer_alive() else None,
                "agent": self.agency.peer_agent if self.agency and self._peer_alive() else None,
                "age": self.agency.age if self.agency else None,
                **({"status": self.agency.peer_status} if whole and self.agency and self.agency.peer_status else {}),
                "rejected": dict(self.conversation.rejected),
            },
            **({"atlas": self.atlas.status()} if self.atlas else {}),
            **(self.agency.status() if self.agency else {"agent_problem": self.agent_problem} if self.agent_problem else {}),
        }

    def page(self, path: str) -> tuple[str, str, t.Mapping[str, str]] | None:
        return self.agency.voice.answer(path) if self.agency else None

    def history(self) -> list[dict[str, t.Any]]:
        return self.agency.voice.history.entries[-200:] if self.agency else []

    @property
    def web_process(self) -> int | None:
        """The main process of the web server that is followed."""
        return self._web_process.pid

    # Observing.

    def local(self) -> Local:
        now = time.monotonic()
        findings: dict[str, Finding] = {name: steady.finding for name, steady in self.services.items()}
        findings.update({name: watch.finding for name, watch in self.watches.items()})
        if now - self.began > START_GRACE:
            findings = {
                name: Finding(Verdict.UNKNOWN, finding.reason) if finding.verdict is Verdict.STARTING else finding
                for name, finding in findings.items()
            }
        return Local(findings, now < self.frozen_until)

    def is_dead(self, node: str) -> bool:
        """Is that node silent on all networks, and did nothing there answer just now? A health daemon that restarts is only silent."""
        return node == self.config.peer and self._peer_dead

    def _knock(self) -> None:
        """Once a tick: is a silent peer's machine there?"""
        if self.peer_silence <= PEER_QUIET:
            return
        replica = self._database.replica if self._database else None
        self._knocks.ask(replica.source if replica else "")
        if self._knocks.quiet and not self._peer_dead:
            LOG.warning("%s seems dead: no heartbeat, and nothing answers at %s", self.config.peer, self._knocks.address)
        self._peer_dead = self._knocks.quiet

    def _peer_alive(self) -> bool:
        return self.peer_silence <= self.config.peer_ticks

    def peer(self) -> Peer:
        if not self._peer_alive():
            return Peer()
        state = self.peer_state
        severity, down, strikes = state.get("severity"), state.get("down"), state.get("strikes")
        return Peer(
            severity if isinstance(severity, int) else None,
            tuple(str(name) for name in down) if isinstance(down, list) else (),
            {str(k): v for k, v in strikes.items() if isinstance(v, int)} if isinstance(strikes, dict) else {},
            quiet=self.peer_silence > PEER_QUIET,
        )

    def _beat_received(self, network: str, datagram: bytes) -> None:
        beat = self.conversation.decode(datagram, network)
        if beat is None or not beat.fresh:
            return
        self.watches[network].heard_peer()
        self.peer_silence = 0
        self._peer_dead = False
        self._knocks.heard()
        state = dict(beat.state)
        news = self.agency is not None and self.agency.heard(network, state, beat.begun)
        if state != self.peer_state:
            self.peer_state = state
            self.reconsider()
        if news:
            self._step_agent()

    def _web_died(self) -> None:
        self.services["web"].break_now(
            f"{self.config.web.process if self.config.web else 'web'}: its main process ended", time.monotonic()
        )
        self.reconsider()
        self._wake_web.set()

    def _database_died(self) -> None:
        self._database_look, self._database = (Raw.BROKEN, "its process has ended"), None
        self._looked_at = time.clock_gettime(time.CLOCK_BOOTTIME)
        self.services["database"].observe(Raw.BROKEN, "its process has ended", time.monotonic())
        self._step_agent()

    def _step_agent(self) -> None:
        """Let the agent decide at once; the peer is told when something has changed."""
        if self.agency is not None and self.agency.step():
            self._look_again.set()
            self.reconsider(beat=True)

    # What the agent sees.

    def last_look(self) -> tuple[Raw, Database | None]:
        return self._database_look[0], self._database

    @property
    def looked_at(self) -> float:
        return self._looked_at

    def knocks(self) -> bool | None:
        return self._knocks.answers if self.peer_silence > PEER_QUIET else True

    def gateway(self) -> float | None:
        outside, pings = self.watches.get("outside"), self.references.get("outside")
        if outside is None or not outside.trusted or pings is None:
            return None
        return time.clock_gettime(time.CLOCK_BOOTTIME) - pings.proven_at

    def peer_lives(self) -> bool | None:
        return True if self._peer_alive() else False if self._peer_dead else None

    async def _watch_web(self) -> None:
        web = self.config.web
        if web is None:
            return
        steady = self.services["web"]
        while True:
            if self._web_process.pid is None:
                self._web_seen = self._web_process.follow(process_of(web.pid_file, web.process)) or self._web_seen
            self._wake_web.clear()
            raw, text = await look_at_web(web, WEB_TIMEOUT)
            if raw is Raw.OK and self._web_seen and self._web_process.pid is None:
                raw, text = Raw.BROKEN, f"{web.process}: no main process"
            steady.observe(raw, text, time.monotonic())
            self.reconsider()
            try:
                async with asyncio.timeout(WEB_CALM if raw is Raw.OK else WEB_EVERY):
                    await self._wake_web.wait()
                    await asyncio.sleep(0.05)
            except TimeoutError:
                pass

    async def _watch_php(self) -> None:
        if self.config.php is None:
            return
        known: set[tuple[str, int]] = set()
        while True:
            raw, text = await look_at_php(self.config.php, PHP_TIMEOUT, known)
            self.services["php"].observe(raw, text, time.monotonic())
            self.reconsider()
            await asyncio.sleep(PHP_CALM if raw is Raw.OK else PHP_EVERY)

    async def _watch_database(self) -> None:
        if self.config.database is None:
            return
        loop = asyncio.get_running_loop()
        look = db.DatabaseLook(self.config.database, DATABASE_TIMEOUT)
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="database") as thread:
            while True:
                began = time.clock_gettime(time.CLOCK_BOOTTIME)
                raw, text, database = await loop.run_in_executor(thread, look)
                self._looked_at = began
                self._database_look = (raw, text)
                if database is not None or raw is Raw.BROKEN:
                    self._database, self._database_at = database, time.monotonic()
                self.services["database"].observe(raw, text, time.monotonic())
                if raw is Raw.OK:
                    self._database_process.follow(look.server)
                self._server.release()
                self.reconsider()
                self._step_agent()
                await asyncio.sleep(DATABASE_EVERY)
                if self._database_calm():
                    self._look_again.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(DATABASE_CALM - DATABASE_EVERY):
                            await self._look_again.wait()

    def _database_calm(self) -> bool:
        """Nothing about the database is about to change, as far as anybody here knows."""
        quiet = self.agency is not None and self.agency.agent.calm
        return quiet and self._database_look[0] is Raw.OK and self.peer_silence <= PEER_QUIET

    async def _watch_atlas(self) -> None:
        """What its thread has seen, as a part of this node. One that never worked is not down: perhaps it is being installed."""
        if self.atlas is None:
            return
        self.atlas.start()
        while True:
            word, reason = self.atlas.state()
            raw = _ATLAS[word] if self.atlas.worked else Raw.BUSY
            self.services["atlas"].observe(raw, reason or ("answers" if word == "up" else f"Atlas is {word}"), time.monotonic())
            self.reconsider()
            await asyncio.sleep(ATLAS_EVERY)

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        ticks = 0
        while True:
            now = time.monotonic()
            if now - self._last_tick > STOOD_STILL and self._peer_alive():
                LOG.warning("stood still for %.1f s", now - self._last_tick)
                self.frozen_until = now + FROZEN_FOR
            self._last_tick = now
            self.peer_silence += 1
            self._knock()
            for reference in self.references.values():
                reference.collect()
            for name, watch in self.watches.items():
                asks = ticks % 2 == 0 or not watch.quiet
                watch.tick(self.carriers[name](), asks)
                if asks and name in self.references:
                    self.references[name].ping()
            if self.agency is not None:
                self.agency.tick()
            if not self._database_calm():
                self._look_again.set()
            self.reconsider(beat=True)
            begun = self.agency is None or self.agency.has_begun
            self._readiness.look(self._peer_dead or (self._peer_alive() and begun))
            for watch in self.watches.values():
                if watch.trusted and watch.reference is not None:
                    self.memory.trust(watch.reference)
            ticks += 1
            if ticks % 8 == 0:
                notify(f"WATCHDOG=1\nSTATUS={self.decision.reason}")
                if self.decision.fault is not None and self.fault_file.drifted():
                    self.fault_file.write(self.decision.fault)
            due = max(due + self.config.interval, loop.time())
            await asyncio.sleep(due - loop.time())

    # Deciding and acting.

    def reconsider(self, beat: bool = False) -> None:
        """Look at everything known, decide, tell keepalived, and tell the peer when something changed."""
        local = self.local()
        decision = decide(local, self.peer(), self.agency.why_away if self.agency is not None else "")
        self._log_findings(local)
        if decision.fault is not None and decision.fault != self.fault_file.value:
            if self.fault_file.write(decision.fault):
                LOG.warning("%s: %s", "FAULT" if decision.fault else "no fault", decision.reason)
        elif decision.reason != self.decision.reason:
            LOG.debug("%s", decision.reason)
        self.decision = decision
        database = self.database()[2]
        state = {
            "severity": local.severity(),
            "down": list(local.down()),
            "fault": self.fault_file.value,
            "strikes": public_strikes(self.watches),
            "role": None if database is None else "replica" if database.read_only else "primary",
        }
        announced = (state["severity"], state["down"], state["fault"], state["role"])
        if beat or announced != self._announced:
            self._announced = announced
            state |= self.agency.says() if self.agency else {}
            for name, link in self.peer_links.items():
                link.send(self.conversation.encode(name, state))

    def _log_findings(self, local: Local) -> None:
        for name, finding in local.findings.items():
            if self._logged.get(name) is not finding.verdict:
                self._logged[name] = finding.verdict
                level = logging.WARNING if finding.verdict is Verdict.DOWN else logging.INFO
                LOG.log(level, "%s (weight %d) is %s: %s", name, WEIGHT[name], finding.verdict.value, finding.reason)

    # Life.

    async def run(self) -> None:
        """Until cancelled. The fault file keeps its last value: a restart of this daemon moves nothing."""
        if self.config.web:
            self.services["web"] = Steady(WEB_DOWN_AFTER, WEB_SILENT_AFTER)
        if self.config.php:
            self.services["php"] = Steady(PHP_DOWN_AFTER, None)
        if self.config.database:
            self.services["database"] = Steady(DATABASE_DOWN_AFTER, DATABASE_SILENT_AFTER)
        if self.atlas:
            self.services["atlas"] = Steady(ATLAS_DOWN_AFTER, None)
        self._loop = asyncio.get_running_loop()
        if self.agency is not None:
            self.agency.loop = asyncio.get_running_loop()
            self.agency.wake = self._step_agent
        await self._server.listen(inherited_sockets(), self.config.http)
        try:
            async with asyncio.TaskGroup() as group:
                parts = [self._tick, self.certificate.watch, self._watch_web, self._watch_php, self._watch_database, self._watch_atlas]
                for part in [*parts, *([self.agency.watch_peer] if self.agency else [])]:
                    group.create_task(part())
        finally:
            self._server.close()
            self._web_process.forget()
            self._database_process.forget()
            if self.atlas is not None:
                self.atlas.close()
            if self.agency is not None:
                self.agency.close()
            self._knocks.close()
            for link in (*self.peer_links.values(), *self.references.values()):
                link.close()
