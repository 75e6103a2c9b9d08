# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two nodes in memory with real hands and real journals. Messages are counted, and anything can die at any of them."""

from __future__ import annotations

import base64
import hashlib
import json
import queue
import threading
import types
from pathlib import Path

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils import errors
from ansible_collections.tandem.lemp.plugins.module_utils.errors import OperationFailed
from ansible_collections.tandem.lemp.plugins.module_utils.gtid import MARIADB, GtidSet
from ansible_collections.tandem.lemp.plugins.module_utils.hand.client import HandLost
from ansible_collections.tandem.lemp.plugins.module_utils.hand.journal import Journal
from ansible_collections.tandem.lemp.plugins.module_utils.hand.serve import Hand
from ansible_collections.tandem.lemp.plugins.module_utils.state import RUNNING, STOPPED, Replication, ServerState

ADDRESSES = {"node-a": "192.0.2.1", "node-b": "192.0.2.2"}


class EngineDied(BaseException):
    """kill -9 of the process that runs the operation."""


class Node:
    """What a hand's actions do, to a server that is a few variables."""

    def __init__(self, world: World, name: str, peer: str, server_id: int, writable: bool) -> None:
        self.world, self.name, self.peer_name = world, name, peer
        self.config = types.SimpleNamespace(node=types.SimpleNamespace(name=name))
        self.server_id = server_id
        self.state = RUNNING
        self.writable = writable
        self.executed_text = "0-1-100"
        self.received = "0-1-100"
        self.source = "" if writable else ADDRESSES[peer]
        self.io_running = self.sql_running = not writable
        self.sql_error = ""
        self.unit_state = "active"
        self.vips = writable
        self.holds = False
        self.files: dict[str, bytes] = {}
        self.done: list[str] = []
        self.ran: list[dict[str, str] | None] = []
        self.fail_at = ""
        self.semi_sync_was: list[bool | None] = []
        self.commits_wait = False
        self.starts_at_boot, self.would_follow = True, False
        self.atlas_off: list[str] = []
        self.filters: list[str] = []
        self.health_knows = self.believes_both = False

    @property
    def peer(self) -> Node:
        return self.world.nodes[self.peer_name]

    def set_open(self, value: bool) -> None:
        if value and self.peer.writable:
            self.world.violations.append(f"{self.name} opened while {self.peer_name} was open")
        if value and self.name == self.world.new and not self.world.loss_is_accepted:
            lacking = self.gtid().behind(self.peer.gtid())
            if lacking:
                self.world.violations.append(f"{self.name} opened and lacks {lacking}")
        self.writable = value

    def gtid(self) -> GtidSet:
        return GtidSet.parse(self.executed_text, MARIADB)

    def __getattribute__(self, name: str):
        value = object.__getattribute__(self, name)
        if callable(value) and not name.startswith("_") and name not in ("set_open", "gtid"):
            if object.__getattribute__(self, "fail_at") == name:
                raise OperationFailed(f"{name} was made to fail")
            object.__getattribute__(self, "done").append(name)
        return value

    def reconnect(self):
        return None

    # Looking.

    def observe(self):
        told = None
        if self.source:
            told = Replication(source_host=self.source, io_running=self.io_running, io_connected=self.io_running and
                               self.peer.state == RUNNING, sql_running=self.sql_running, sql_error=self.sql_error,
                               sql_errno=1 if self.sql_error else 0, lag_seconds=0, retrieved=self.received)  # fmt: skip
        up = self.state == RUNNING
        server = ServerState(state=self.state, engine=MARIADB if up else "", version="10.11.1", server_id=self.server_id,
                             log_bin=True, read_only=not self.writable, gtid=self.executed_text if up else "",
                             replication=told if up else None, lineage="data" if up else "")  # fmt: skip
        return {"server": server.as_dict(), "address": ADDRESSES[self.name], "holds_vips": self.vips, "holds_any_vip": self.vips,
                "proxy": None, "disk_free": 2**40}  # fmt: skip

    def executed(self):
        return self.executed_text

    def log_executed(self):
        return {"executed": self.executed_text}

    def sessions(self):
        return []

    def limit(self, server):
        return 7

    def evidence(self, outside=""):
        return [{"path": "ssh port", "answer": "open" if self.world.peer_answers else "silent", "alive": self.world.peer_answers}]

    def logins(self):
        return []

    def left_out(self):
        return self.filters

    def unit(self):
        return {"state": self.unit_state, "sub": "", "restarts": 0, "down": None}

    def peer_open(self):
        if self.world.blind or self.peer.state != RUNNING:
            return None
        return self.peer.writable

    def has_addresses(self, seconds):
        return self.vips

    def attached(self, seconds):
        return {"healthy": True, "reason": ""}

    def followed(self, seconds):
        return True

    def wait_for(self, transactions, seconds):
        if not self.io_running or not self.sql_running:
            raise OperationFailed("It does not replicate.")
        self.executed_text = self.received = transactions
        return {"executed": transactions}

    def apply_received(self, seconds):
        if self.source:
            self.executed_text = self.received
        return {"executed": self.executed_text}

    def prove_closed(self):
        if self.writable:
            raise OperationFailed("It is open.")
        return {"executed": self.executed_text, "reason": "refused"}

    # Acting.

    def prepare_hold(self, limit):
        return None

    def hold(self, server, limit):
        self.holds = True
        return {"active": 0, "queued": 0}

    def drain(self, server, seconds):
        return {"left": 0, "kept": 0, "seconds": 0}

    def let_through(self, server, limit):
        self.holds = False

    def point_at(self, server, other, limit, few=False):
        self.holds = False
        return {"queued": 0}

    def health_agrees(self, seconds=5):
        self.health_knows = True
        return True

    def watch_again(self, seconds=5):
        self.believes_both = self.health_knows and self.peer.health_knows

    def kill_sessions(self, seconds):
        return {"between": 0, "broken": 0}

    def close(self):
        if self.state != RUNNING:
            raise OperationFailed("It does not run.")
        self.set_open(False)
        return {"executed": self.executed_text, "reason": "refused"}

    def open(self, semi_sync=True, forget=True):
        if self.state != RUNNING:
            raise OperationFailed("It does not run.")
        self.semi_sync_was.append(semi_sync)
        if forget:
            self.source = ""
        self.set_open(True)

    def forget_source(self):
        self.source = ""
        self.starts_at_boot = True

    def prove_open(self, token, may_wait=False):
        if not self.writable:
            raise OperationFailed("It is closed.")
        if not self.commits_wait:
            return ""
        if not may_wait:
            raise OperationFailed("It does not take writes: the commit waits.")
        return f"{self.name} waits for its replica."

    def semi_sync(self, source):
        return None

    def canary_arrives(self, token, seconds):
        return 0.001

    def follow_ahead(self):
        if self.state != RUNNING:
            raise OperationFailed("It does not run.")
        if self.world.follows_ahead:
            self.source, self.starts_at_boot = ADDRESSES[self.peer_name], False
        return self.world.follows_ahead

    def attach(self):
        if self.state != RUNNING:
            raise OperationFailed("It does not run.")
        self.set_open(False)
        self.source = ADDRESSES[self.peer_name]

    def let_in(self, server, limit):
        return None

    def events(self):
        return {"blog.purge": "DISABLED" if self.writable else "SLAVESIDE_DISABLED"}

    def run_events(self, before=None):
        self.ran.append(before)
        return []

    def rotate_binlog(self):
        return None

    def settle(self):
        self.starts_at_boot = True

    def give_addresses(self, seconds):
        self.vips, self.peer.vips = False, True
        return {"seconds": 0.1}

    def stop_unit(self):
        self.state, self.writable = STOPPED, False

    def atlas_writers(self):
        return ["127.0.0.1:6446"]

    def atlas_offline(self, addresses):
        self.atlas_off = list(addresses)
        return "offline"

    def atlas_online(self, addresses):
        self.atlas_off = [one for one in self.atlas_off if one not in addresses]

    def start_unit(self):
        self.state, self.writable = RUNNING, False

    def stop_replication(self):
        self.io_running = self.sql_running = False

    def resume_replication(self):
        if self.state != RUNNING:
            raise OperationFailed("It does not run.")
        self.io_running = self.sql_running = True

    def rescue_extract(self, name, known, seconds):
        data = self.executed_text.encode()
        self.files[name] = data
        return {"transactions": GtidSet.parse(known, MARIADB).behind(self.gtid()), "bytes": len(data), "file": "file",
                "sha256": hashlib.sha256(data).hexdigest()}  # fmt: skip

    def rescue_read(self, name, offset):
        return base64.b64encode(self.files[name][offset : offset + 5]).decode()

    def rescue_write(self, name, offset, data):
        self.files[name] = self.files.get(name, b"")[:offset] + base64.b64decode(data)

    def rescue_apply(self, name, sha256, seconds):
        if hashlib.sha256(self.files[name]).hexdigest() != sha256:
            raise OperationFailed("It is damaged.")
        self.executed_text = self.received = self.files[name].decode()
        return {"executed": self.executed_text}


class Line:
    """A hand in a thread, and the client that talks to it."""

    def __init__(self, world: World, node: Node, directory: Path) -> None:
        self.world, self.name = world, node.name
        self.directory = directory
        self._requests: queue.Queue = queue.Queue()
        self._answers: queue.Queue = queue.Queue()
        self.failed: list[BaseException] = []
        self._hand = Hand(node, lambda text: None, directory / "journal", directory / "lock")
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self.lost = False

    def _serve(self) -> None:
        try:
            self._hand.serve(iter(self._requests.get, None), self._answers.put)
        except errors.TandemError as error:
            self.failed.append(error)
        finally:
            if self._hand._locked is not None:
                self._hand._locked.close()
            self._answers.put("")

    def send(self, what, **arguments):
        self.world.message(self, what, "before")
        if self.lost:
            raise HandLost(f"{self.name} is lost")
        self._requests.put(json.dumps({"do": what, "with": arguments}))
        reply = self._answers.get(timeout=10)
        self._pending = [*getattr(self, "_pending", []), reply]
        self.world.message(self, what, "after")

    def receive(self, timeout=30):
        if self.world.dead:
            raise EngineDied
        reply = json.loads(self._pending.pop(0))
        if self.lost:
            raise HandLost(f"{self.name} is lost")
        if reply["ok"]:
            return reply["value"]
        raise getattr(errors, reply["kind"], OperationFailed)(reply["message"], reply["remedy"])

    def call(self, what, timeout=30, **arguments):
        self.send(what, **arguments)
        return self.receive(timeout)

    def break_off(self) -> None:
        """The hand sees the end of the line, and recovers its node."""
        if self._thread.is_alive():
            self._requests.put(None)
            self._thread.join(10)

    def power_off(self) -> None:
        """The node dies, hand and server at once. Its journal stays."""
        self.lost = True
        node = self.world.nodes[self.name]
        node.state, node.writable = STOPPED, False
        self._hand._journal = None
        self.break_off()


class World:
    """node-a is the primary, node-b its replica; ``new`` is who shall be it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.new = "node-b"
        self.violations: list[str] = []
        self.messages: list[str] = []
        self.die_at: tuple[int, str] | None = None
        self.mistake_at: tuple[int, type[Exception]] | None = None  # message, and what the operation raises in place of it
        self.power_off_at: tuple[int, str, str] | None = None  # message, moment, node
        self.crash_at: tuple[int, str, str] | None = None  # message, moment, node whose server crashes; its hand lives
        self.dead = False
        self.blind = False  # no node can ask the other one's server
        self.peer_answers = False
        self.loss_is_accepted = False
        self.follows_ahead = False  # MySQL's old primary connects to the new one before it is closed
        self.nodes: dict[str, Node] = {}
        self.nodes["node-a"] = Node(self, "node-a", "node-b", 1, True)
        self.nodes["node-b"] = Node(self, "node-b", "node-a", 2, False)
        self.lines: dict[str, Line] = {}

    def line(self, name: str) -> Line:
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        self.lines[name] = Line(self, self.nodes[name], directory)
        return self.lines[name]

    def message(self, line: Line, what: str, moment: str) -> None:
        if self.dead:
            raise EngineDied
        if moment == "before":
            self.messages.append(f"{line.name} {what}")
        number = len(self.messages)
        if self.crash_at is not None and self.crash_at[:2] == (number, moment):
            node = self.nodes[self.crash_at[2]]
            node.state, node.writable = STOPPED, False
            node.would_follow = bool(node.source) and node.starts_at_boot
        if self.power_off_at is not None and self.power_off_at[:2] == (number, moment):
            self.lines[self.power_off_at[2]].power_off()
        if moment == "before" and self.mistake_at is not None and self.mistake_at[0] == number:
            raise self.mistake_at[1]("a mistake")
        if self.die_at == (number, moment):
            self.dead = True
            raise EngineDied

    def end(self, order: tuple[str, ...] = ("node-b", "node-a")) -> None:
        """Both hands see that the engine is gone."""
        for name in order:
            self.lines[name].break_off()

    def committed(self, name: str) -> bool:
        return any(Journal.load(path).committed for path in (self.directory / name / "journal").glob("*.jsonl"))

    def open_nodes(self) -> list[str]:
        return [name for name, node in self.nodes.items() if node.writable]


@pytest.fixture
def make_world(tmp_path: Path):
    """Each call: a world of its own."""
    count = iter(range(10000))

    def make() -> World:
        directory = tmp_path / str(next(count))
        directory.mkdir()
        return World(directory)

    return make


@pytest.fixture
def engine_died() -> type[BaseException]:
    return EngineDied
