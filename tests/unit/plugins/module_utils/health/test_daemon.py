# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two real daemons, real datagrams and real processes, on the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import subprocess
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent.atlas import Times
from ansible_collections.tandem.lemp.plugins.module_utils.agent.atlas_keeper import AtlasKeeper, AtlasSettings
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.admin import Backend
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.client import Account, Answer, How
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.probe import Look, Watched
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.wire import Endpoint
from ansible_collections.tandem.lemp.plugins.module_utils.health import daemon, knock
from ansible_collections.tandem.lemp.plugins.module_utils.health.config import AgentSettings, Config, Network, Web
from ansible_collections.tandem.lemp.plugins.module_utils.health.daemon import Daemon
from ansible_collections.tandem.lemp.plugins.module_utils.health.heartbeat import Conversation
from ansible_collections.tandem.lemp.plugins.module_utils.health.links import Reference
from ansible_collections.tandem.lemp.plugins.module_utils.health.model import Finding, Verdict

KEY = b"a shared secret of the pair"
ADDRESSES = {"node-a": "127.0.1.1", "node-b": "127.0.1.2"}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "STATE", tmp_path)


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Page:
    """A web server that says 200 while it runs, with a main process to watch."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port(socket.SOCK_STREAM)
        self.pid_file = directory / "web.pid"
        self.process = subprocess.Popen(["sleep", "600"])
        self.pid_file.write_text(f"{self.process.pid}\n")
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
            writer.close()

        self._server = await asyncio.start_server(serve, "127.0.0.1", self.port)

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Node:
    """One node of the pair under test."""

    def __init__(self, directory: Path, name: str, port: int) -> None:
        directory.mkdir()
        self.name, self.page = name, Page(directory)
        self.fault = directory / "fault"
        self.fault.write_text("0\n")
        peer = next(other for other in ADDRESSES if other != name)
        self.config = Config(
            node=name,
            peer=peer,
            secret_file="",
            fault_file=str(self.fault),
            state_file=str(directory / "memory.json"),
            http=(("127.0.0.1", free_port(socket.SOCK_STREAM)),),
            port=port,
            interval=0.05,
            strikes=3,
            patience=13,
            peer_ticks=7,
            networks=(Network("inside", "lo", ADDRESSES[name], ADDRESSES[peer], None),),
            web=Web("127.0.0.1", self.page.port, "/healthz", str(self.page.pid_file), "sleep"),
            php=None,
            database=None,
        )
        self.daemon = Daemon(self.config, KEY)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.page.start()
        self._task = asyncio.create_task(self.daemon.run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self.page.stop()
        self.page.kill()

    async def restart_daemon(self) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self.daemon = Daemon(self.config, KEY)
        self._task = asyncio.create_task(self.daemon.run())

    @property
    def letting_go(self) -> bool:
        return self.fault.read_text() == "1\n"


async def until(condition: t.Callable[[], bool], seconds: float = 15) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "this did not happen in time"
        await asyncio.sleep(0.005)
    return time.monotonic() - began


Scenario = t.Callable[[Node, Node], t.Awaitable[None]]


def play(directory: Path, scenario: Scenario) -> None:
    """A healthy pair, and then the scenario."""

    async def run() -> None:
        port = free_port(socket.SOCK_DGRAM)
        a, b = (Node(directory / name, name, port) for name in ADDRESSES)
        try:
            await a.start()
            await b.start()
            await until(lambda: all(n.daemon.severity == 0 and n.daemon.peer().severity == 0 for n in (a, b)))
            await scenario(a, b)
        finally:
            await a.stop()
            await b.stop()

    asyncio.run(run())


def test_the_node_whose_web_server_stops_lets_go_until_the_other_is_no_better(tmp_path: Path) -> None:
    async def scenario(a: Node, b: Node) -> None:
        assert not a.letting_go
        assert not b.letting_go
        a.page.stop()
        await until(lambda: a.letting_go)
        assert not b.letting_go
        b.page.stop()
        await until(lambda: not a.letting_go)
        assert not b.letting_go
        await a.page.start()
        await until(lambda: b.letting_go and not a.letting_go)

    play(tmp_path, scenario)


def test_the_end_of_the_main_process_is_seen_at_once_though_workers_still_answer(tmp_path: Path) -> None:
    async def scenario(a: Node, _b: Node) -> None:
        await until(lambda: a.daemon.local().severity() == 0 and a.daemon.web_process == a.page.process.pid)
        a.page.process.kill()
        assert await until(lambda: a.letting_go) < 0.2
        a.page.process.wait()
        await asyncio.sleep(1)
        assert a.letting_go

    play(tmp_path, scenario)


def test_a_restart_of_the_daemon_changes_nothing(tmp_path: Path) -> None:
    async def scenario(a: Node, b: Node) -> None:
        a.page.stop()
        await until(lambda: a.letting_go)
        changed = a.fault.stat().st_mtime_ns
        await a.restart_daemon()
        await until(lambda: a.daemon.peer().severity == 0 and b.daemon.peer().severity == 2)
        assert a.letting_go
        assert a.fault.stat().st_mtime_ns == changed

    play(tmp_path, scenario)


def test_forged_and_replayed_datagrams_change_nothing(tmp_path: Path) -> None:
    async def scenario(a: Node, b: Node) -> None:
        lie = {"severity": 2, "down": ["web"], "strikes": {}}
        forger = Conversation(b"not the secret of the pair", "node-b", "node-a", boot=b.daemon.conversation.boot)
        forger._peer_boot = a.daemon.conversation.boot
        recorded = b.daemon.conversation.encode("inside", lie)
        address = (ADDRESSES["node-a"], a.config.port)
        before = dict(a.daemon.conversation.rejected)
        await asyncio.sleep(0.2)  # newer beats than the recorded one have arrived
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((ADDRESSES["node-b"], 0))
            for datagram in (forger.encode("inside", lie), recorded, b"", b"\0" * 1500):
                sock.sendto(datagram, address)
        await until(lambda: sum(a.daemon.conversation.rejected.values()) >= sum(before.values()) + 4)
        assert a.daemon.conversation.rejected["wrong key"] == 1
        assert a.daemon.conversation.rejected["replayed"] >= 1
        assert a.daemon.peer().severity == 0
        assert not a.letting_go

    play(tmp_path, scenario)


def test_a_dead_peer_is_unknown_and_a_fault_file_that_vanished_comes_back(tmp_path: Path) -> None:
    async def scenario(a: Node, b: Node) -> None:
        await b.stop()
        await until(lambda: a.daemon.peer().severity is None)
        assert not a.letting_go
        a.fault.unlink()
        await until(a.fault.exists)
        assert a.fault.read_text() == "0\n"

    play(tmp_path, scenario)


def test_http_speaks_from_the_first_moment(tmp_path: Path) -> None:
    async def scenario(a: Node, _b: Node) -> None:
        reader, writer = await asyncio.open_connection(*a.config.http[0])
        writer.write(b"GET /health HTTP/1.0\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.0 200 OK")
        writer.close()

    play(tmp_path, scenario)


@pytest.fixture(autouse=True)
def _no_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.delenv("LISTEN_PID", raising=False)


def test_a_peer_whose_daemon_is_gone_is_silent_but_not_dead(tmp_path: Path) -> None:
    async def scenario(a: Node, b: Node) -> None:
        await b.stop()
        await until(lambda: not a.daemon.status()["peer"]["alive"])
        assert not a.daemon.is_dead(b.name)

    play(tmp_path, scenario)


class Unanswered(Reference):
    """The loopback interface answers every ping."""

    def ping(self) -> None:
        return


def test_a_peer_where_nothing_answers_is_dead_until_it_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knock, "Reference", Unanswered)

    async def run() -> None:
        node = Node(tmp_path / "a", next(iter(ADDRESSES)), free_port(socket.SOCK_DGRAM))
        network = dataclasses.replace(node.config.networks[0], peer_address="127.0.0.99")
        node.daemon = Daemon(dataclasses.replace(node.config, networks=(network,)), KEY)
        # Its queue is full and nobody accepts: the kernel drops who comes, as a network does with a dead machine behind it.
        mute = socket.create_server(("127.0.0.99", node.config.http[0][1]), backlog=0)
        waiting = [socket.socket() for _turn in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(mute.getsockname())
        try:
            await node.start()
            began = time.monotonic()
            await until(lambda: node.daemon.is_dead(node.config.peer))
            assert not node.daemon.is_dead(node.name)
            await until(lambda: node.daemon.knocks() is False)
            assert knock.DEAD_AFTER <= time.monotonic() - began < 2
            reader, writer = await asyncio.open_connection(*node.config.http[0])
            writer.write(f"agent {node.config.peer}\n".encode())
            assert await reader.read() == b"down\n"
            writer.close()
        finally:
            await node.stop()
            for one in (mute, *waiting):
                one.close()

    asyncio.run(run())


def test_an_agent_that_cannot_remember_is_left_out_and_the_daemon_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    memory = tmp_path / "agent" / "memory.json"
    memory.parent.mkdir()
    memory.write_text("{cut off in the mid")
    settings = AgentSettings(str(tmp_path / "here"), str(tmp_path / "there"), str(memory.parent), {}, {"failover": "automatic"})

    async def scenario(a: Node, _b: Node) -> None:
        a.config = dataclasses.replace(a.config, agent=settings)
        await a.restart_daemon()
        await until(lambda: a.daemon.severity == 0 and a.daemon.peer().severity == 0)
        assert a.daemon.agency is None
        assert "agent" not in a.daemon.status()
        assert str(memory.parent) in a.daemon.status()["agent_problem"]
        a.page.stop()
        await until(lambda: a.letting_go)

    play(tmp_path, scenario)
    assert any(str(memory.parent) in record.getMessage() and record.levelname == "ERROR" for record in caplog.records)
    assert memory.read_text() == "{cut off in the mid"


class Atlas:
    """A keeper whose looks are made up."""

    def __init__(self, node: Node, directory: Path) -> None:
        self.seen = DEAD
        watched = Watched(Endpoint("127.0.0.1", 1, "tandem", "x"), ("127.0.0.1", 1), Account("blog", "x"), SERVERS)
        times = Times(every=0.02, settle=0)
        keeper = AtlasKeeper(watched, directory / "atlas.json", time.monotonic, times=times, looks=lambda _watched: self.seen)
        node.daemon.atlas = keeper


SERVERS = (("127.0.0.1:6446", "rw"),)
YES, NO = Answer(How.OK), Answer(How.REFUSED, "Connection refused")
DEAD = Look(NO, (), None, NO, {SERVERS[0]: YES})
WELL = Look(YES, (Backend(1, SERVERS[0][0], "up", "rw"),), 1, YES, {SERVERS[0]: YES}, YES, YES)


def verdict(node: Node) -> Verdict:
    return node.daemon.local().findings.get("atlas", Finding(Verdict.STARTING)).verdict


def test_a_node_without_its_atlas_lets_go_and_one_that_never_had_it_does_not(tmp_path: Path) -> None:
    """The peer's Atlas works, so visitors are served there. Where it is not installed yet, nobody moves."""

    async def run() -> None:
        port = free_port(socket.SOCK_DGRAM)
        a, b = (Node(tmp_path / name, name, port) for name in ADDRESSES)
        mine, theirs = Atlas(a, tmp_path), Atlas(b, tmp_path)
        theirs.seen = WELL
        try:
            await a.start()
            await b.start()
            await until(lambda: verdict(b) is Verdict.UP and b.daemon.severity == 0)
            await until(lambda: verdict(a) is Verdict.UNKNOWN)
            await asyncio.sleep(daemon.ATLAS_DOWN_AFTER + 0.7)
            assert a.daemon.severity == 0 and not a.letting_go
            mine.seen = WELL
            await until(lambda: verdict(a) is Verdict.UP)
            mine.seen = DEAD
            assert await until(lambda: a.letting_go) > daemon.ATLAS_DOWN_AFTER - 1
            assert a.daemon.status()["atlas"]["state"] == "dead"
            assert "atlas" in a.daemon.summary()
            mine.seen = WELL
            await until(lambda: not a.letting_go)
        finally:
            await a.stop()
            await b.stop()

    asyncio.run(run())


def test_an_atlas_without_its_secrets_is_not_watched_and_the_daemon_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = AtlasSettings(("127.0.0.1", 1), "tandem", ("127.0.0.1", 1), "blog", SERVERS, 1, str(tmp_path / "missing"))
    node = Node(tmp_path / "a", "node-a", free_port(socket.SOCK_DGRAM))
    try:
        found = Daemon(dataclasses.replace(node.config, atlas=settings), KEY)
        assert found.atlas is None and "atlas" not in found.status()
        assert "Atlas is not watched" in caplog.text
    finally:
        node.page.kill()


def test_what_is_known_of_an_atlas_survives_a_boot_and_not_the_atlas(tmp_path: Path) -> None:
    """Without an agent too. One that comes later is new."""
    memory, secrets = daemon.STATE / "atlas.json", tmp_path / "secrets.json"
    secrets.write_text('{"admin_password": "x", "password": "x"}')
    settings = AtlasSettings(("127.0.0.1", 1), "tandem", ("127.0.0.1", 1), "blog", SERVERS, 1, str(secrets))
    node = Node(tmp_path / "a", "node-a", free_port(socket.SOCK_DGRAM))
    memory.write_text('{"offline": [], "worked": true}')
    try:
        found = Daemon(dataclasses.replace(node.config, atlas=settings), KEY)
        assert found.atlas is not None and found.atlas.worked
        assert Daemon(node.config, KEY).atlas is None
        assert not memory.exists()
    finally:
        node.page.kill()
