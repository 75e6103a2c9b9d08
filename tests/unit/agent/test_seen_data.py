# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data of these tests have the shape of what two real daemons say of themselves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent.atlas_keeper import AtlasSettings
from ansible_collections.tandem.lemp.plugins.module_utils.agent.channels import Exec
from ansible_collections.tandem.lemp.plugins.module_utils.agent.model import Memory, Term
from ansible_collections.tandem.lemp.plugins.module_utils.agent.store import Store
from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.settings import settings as witness
from ansible_collections.tandem.lemp.plugins.module_utils.health.config import AgentSettings, Config, Network
from ansible_collections.tandem.lemp.plugins.module_utils.health.daemon import Daemon
from ansible_collections.tandem.lemp.plugins.module_utils.health.model import Database, Raw, Replica

from . import seen_data as data

ADDRESSES = {"node-a": "127.0.1.1", "node-b": "127.0.1.2"}
SSH = {"driver": "ssh", "host": "127.0.0.1", "port": 1, "user": "nobody", "identity": "/dev/null", "known_hosts": "/dev/null"}
# Their keys are names: nobody promises which ones there are.
NAMES = {
    "findings", "networks", "addresses", "vrrp.here", "peer.rejected", "peer.state.strikes", "agent.counters.transitions",
    "notifications.sent", "notifications.failed", "notifications.queued",
}  # fmt: skip
LOOKS = {
    "node-a": Database("10.11", True, Replica(True, True, 0.0, "node-b:3306")),
    "node-b": Database("10.11", False, None, "", True, 1),
}


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def daemon(directory: Path, node: str, port: int) -> Daemon:
    peer = next(name for name in ADDRESSES if name != node)
    own = directory / node
    own.mkdir()
    (own / "atlas").write_text(json.dumps({"admin_password": "x", "password": "x"}))
    Store(str(own)).keep(Memory(term=Term(8, "node-b"), failover_at=time.time() - 4000))
    agent = AgentSettings(
        str(own / "here"), str(own / "there"), str(own), {"outside": "192.0.2.3", "inside": "127.0.0.1"}, {"failover": "automatic"},
        (Exec("pager", ("/bin/true",)),), witness(SSH), str(own / "vrrp"),
    )  # fmt: skip
    nowhere = ("127.0.0.1", 1)
    config = Config(
        node=node, peer=peer, secret_file="", fault_file=str(own / "fault"), state_file=str(own / "state.json"),
        http=(("127.0.0.1", free_port(socket.SOCK_STREAM)),), port=port, interval=0.05, strikes=3, patience=13, peer_ticks=7,
        networks=(Network("inside", "lo", ADDRESSES[node], ADDRESSES[peer], None),), web=None, php=None, database=None, agent=agent,
        atlas=AtlasSettings(nowhere, "tandem", nowhere, "blog", (("127.0.0.1:6446", "rw"),), 1, str(own / "atlas")),
    )  # fmt: skip
    made = Daemon(config, b"a shared secret of the pair")
    made._database_look, made._database, made._database_at = (Raw.OK, "answers"), LOOKS[node], time.monotonic()
    return made


async def statuses(directory: Path) -> dict[str, dict[str, t.Any]]:
    """What both show while they hear each other."""
    port = free_port(socket.SOCK_DGRAM)
    daemons = {node: daemon(directory, node, port) for node in ADDRESSES}
    tasks = [asyncio.create_task(one.run()) for one in daemons.values()]
    try:
        async with asyncio.timeout(20):
            while not all((one.status().get("peer") or {}).get("agent") and one.status()["agent"]["rule"] for one in daemons.values()):
                await asyncio.sleep(0.01)
        found = {node: one.status() for node, one in daemons.items()}
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    return found


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, t.Any]]:
    return asyncio.run(statuses(tmp_path_factory.mktemp("real")))


def kind(value: t.Any) -> str:
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


def differences(real: t.Any, made: t.Any, path: str = "") -> t.Iterator[str]:
    """None is not known, and an empty list shows nothing: neither differs from anything."""
    if real is None or made is None:
        return
    if kind(real) != kind(made):
        yield f"{path}: {kind(real)}, here {kind(made)}"
    elif isinstance(real, dict) and path in NAMES:
        for one in list(made.values())[:1]:
            for other in list(real.values())[:1]:
                yield from differences(other, one, f"{path}.*")
    elif isinstance(real, dict):
        yield from (f"{path}.{key}: not here" for key in real if key not in made)
        yield from (f"{path}.{key}: nobody says that" for key in made if key not in real)
        for key in real.keys() & made.keys():
            yield from differences(real[key], made[key], f"{path}.{key}".lstrip("."))
    elif isinstance(real, list) and real and made:
        yield from differences(real[0], made[0], f"{path}[]")


@pytest.mark.parametrize(("node", "made"), [("node-b", data.pair()), ("node-a", data.replica()), ("node-b", data.alone())])
def test_it_is_what_a_daemon_says(real: dict[str, dict[str, t.Any]], node: str, made: dict[str, t.Any]) -> None:
    theirs = made["peer"].pop("status")
    found = sorted([*differences(real[node], made), *differences(real[next(name for name in ADDRESSES if name != node)], theirs)])
    assert not found, "\n".join(found)
