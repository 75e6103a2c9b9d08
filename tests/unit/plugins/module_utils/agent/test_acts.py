"""The agent reaches the hands behind real sockets; hands that are asked are real ones too."""

from __future__ import annotations

import contextlib
import dataclasses
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent import acts as module
from ansible_collections.tandem.lemp.plugins.module_utils.agent.acts import Acts
from ansible_collections.tandem.lemp.plugins.module_utils.errors import OperationFailed, Refused
from ansible_collections.tandem.lemp.plugins.module_utils.hand import client
from ansible_collections.tandem.lemp.plugins.module_utils.hand.serve import Hand
from ansible_collections.tandem.lemp.plugins.module_utils.state import Replication, ServerState


class Node:
    """Starts a hand for each connection, as systemd does. A close hangs until it is released."""

    config = SimpleNamespace(node=SimpleNamespace(name="node-a"))

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.hands = 0
        self.released = threading.Event()
        self.closing = threading.Event()
        self.may_start = threading.Event()
        self.may_start.set()
        self.killed = 0

    def shut(self, seconds: float) -> dict[str, str]:
        if seconds:
            self.closing.set()
            assert self.released.wait(20)
            return {"how": "closed"}
        self.killed += 1
        return {"how": "killed"}

    def serve(self, handler: socketserver.StreamRequestHandler) -> None:
        assert self.may_start.wait(20)
        self.hands += 1
        hand = Hand(self, lambda _text: None, self.directory / "journal", self.directory / "lock")  # type: ignore[arg-type]
        hand.serve((line.decode() for line in handler.rfile), lambda text: handler.wfile.write(text.encode() + b"\n") and None)


class Sockets(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)

    class Each(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            made.serve(self)

    with Sockets(str(tmp_path / "here.sock"), Each) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield made
        made.released.set()
        made.may_start.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def acts(node: Node) -> Iterator[Acts]:
    made = Acts("node-a", "node-b", str(node.directory / "here.sock"), str(node.directory / "peer.sock"))
    yield made
    made.forget()


def test_a_kill_needs_neither_the_hand_that_hangs_nor_a_new_one(acts: Acts, node: Node) -> None:
    acts.warm(peer=False)
    closing = threading.Thread(target=acts.close)
    closing.start()
    assert node.closing.wait(10)
    node.may_start.clear()  # a new hand takes its time
    assert acts.kill() == "killed"
    assert node.killed == 1 and not node.released.is_set()
    node.released.set()
    closing.join(10)


def test_a_kill_where_no_hand_is_ready(acts: Acts, node: Node) -> None:
    assert acts.kill() == "killed"
    assert (node.hands, node.killed) == (1, 1)


def test_a_hand_that_is_ready_to_kill_and_has_gone_is_replaced(acts: Acts, node: Node) -> None:
    acts.warm(peer=False)
    assert acts._executioner is not None
    acts._executioner._line.close()
    assert acts.kill() == "killed"
    acts.warm(peer=False)
    assert acts.kill() == "killed"
    assert node.killed == 2


@pytest.fixture
def upgraded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon is of the next version already, the hand is not."""
    monkeypatch.setattr(client, "PROTOCOL", client.PROTOCOL + 1)


@pytest.mark.usefixtures("upgraded")
def test_a_hand_of_another_version_closes_and_kills_and_does_nothing_else(acts: Acts, node: Node) -> None:
    node.released.set()
    assert acts.close() == "closed"
    assert acts.kill() == "killed"  # without one that was ready
    acts.warm(peer=False)
    assert acts.kill() == "killed"  # with one
    with pytest.raises(Refused, match="another version"):
        acts.go_alone()


@pytest.mark.usefixtures("upgraded")
def test_hands_that_do_not_answer_are_noticed(acts: Acts, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    acts.warm(peer=False)
    assert not acts.silent
    now += 31
    acts.warm(peer=False)
    assert acts.silent == 31
    monkeypatch.setattr(client, "PROTOCOL", client.PROTOCOL - 1)
    acts.warm(peer=False)
    assert not acts.silent


@pytest.mark.parametrize(("mine", "theirs", "ahead"), [("0-1-100", "0-1-100", True), ("0-1-100,0-2-120", "0-1-110", False)])
def test_two_that_went_on_alone_are_both_not_ahead(monkeypatch: pytest.MonkeyPatch, mine: str, theirs: str, ahead: bool) -> None:
    gtids = {"node-a": mine, "node-b": theirs}

    @contextlib.contextmanager
    def lent(_acts: Acts, name: str) -> Iterator[SimpleNamespace]:
        server = ServerState(state="running", engine="mariadb", gtid=gtids[name], read_only=True)
        yield SimpleNamespace(call=lambda _what: {"address": "192.0.2.1", "server": server.as_dict()})

    monkeypatch.setattr(Acts, "_lent", lent)
    assert Acts("node-a", "node-b", "", "").compare().ahead is ahead


FOLLOWS = Replication(source_host="192.0.2.2", tls=True, tls_verified=True, io_running=True, io_connected=True, sql_running=True, lag_seconds=900)


@pytest.mark.parametrize(
    ("told", "anew"),
    [
        (FOLLOWS, False),
        (dataclasses.replace(FOLLOWS, sql_running=False, sql_errno=1062), True),
        (dataclasses.replace(FOLLOWS, io_connected=False), True),
        (dataclasses.replace(FOLLOWS, source_host="192.0.2.9"), True),
        (dataclasses.replace(FOLLOWS, follows_gtid=False), True),
        (None, True),
    ],
    ids=["follows", "has an error", "is not connected", "another source", "by file and offset", "no source"],
)
def test_one_that_follows_is_not_attached_anew_and_commits_are_let_go_first(monkeypatch: pytest.MonkeyPatch, told: Replication | None, anew: bool) -> None:
    """What it has received is thrown away with a new source, and what it is applying is undone."""
    here = ServerState(state="running", engine="mariadb", gtid="0-1-100", read_only=True, replication=told)
    there = ServerState(state="running", engine="mariadb", gtid="0-1-5000", read_only=False)
    asked: list[str] = []

    def hand(name: str) -> SimpleNamespace:
        def call(what: str, *_seconds: float, **_more: object) -> dict[str, object]:
            if what == "observe":
                return {"address": "192.0.2.1" if name == "node-a" else "192.0.2.2", "server": (here if name == "node-a" else there).as_dict()}
            asked.append(what)
            return {"healthy": True, "reason": ""}

        return SimpleNamespace(call=call, close=lambda: None)

    monkeypatch.setattr(Acts, "_take", lambda _acts, name, _same=True: hand(name))
    said = Acts("node-a", "node-b", "", "").rejoin()
    assert asked == ["begin", "settle", *(["attach", "attached"] if anew else []), "end"]
    assert ("already" in said) is not anew


@pytest.mark.parametrize(("give_up", "told"), [(True, [True, False]), (False, [True])])
def test_commits_that_nobody_answers_go_on_waiting_unless_the_node_is_alone(monkeypatch: pytest.MonkeyPatch, give_up: bool, told: list[bool]) -> None:
    said: list[bool] = []

    def call(what: str, *_seconds: float, **more: object) -> bool:
        if what == "semi_sync":
            said.append(bool(more["source"]))
        return False

    monkeypatch.setattr(Acts, "_take", lambda _acts, _name, _same=True: SimpleNamespace(call=call, close=lambda: None))
    with pytest.raises(OperationFailed, match="No replica listens"):
        Acts("node-a", "node-b", "", "").rearm(give_up)
    assert said == told
