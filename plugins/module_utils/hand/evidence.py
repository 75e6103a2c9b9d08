# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this node sees of its peer, by several independent paths. Silence on one of them proves nothing."""

from __future__ import annotations

import json
import socket
import typing as t
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from ..connection import Connection, Endpoint
from ..errors import TandemError
from ..state import ServerState
from .config import HandConfig

_TIMEOUT = 2.0


def row(path: str, answer: str, alive: bool | None) -> dict[str, t.Any]:
    """alive: True, it surely is; False, nothing came back; None, this path cannot tell."""
    return {"path": path, "answer": answer, "alive": alive}


def gather(config: HandConfig, outside: str) -> list[dict[str, t.Any]]:
    """All paths, at the same time. Takes about as long as one of them."""
    inside = config.peer.address
    ways: list[t.Callable[[], dict[str, t.Any]]] = [
        lambda: knock("database port, inside", inside, config.peer.port),
        lambda: knock("ssh port, inside", inside, config.peer.ssh_port),
        lambda: heartbeat(config.health_url),
        lambda: database(config),
    ]
    if outside:
        ways.append(lambda: knock("web port, outside", outside, 80))
    with ThreadPoolExecutor(len(ways)) as pool:
        return list(pool.map(lambda way: way(), ways))


def knock(path: str, address: str, port: int, timeout: float = _TIMEOUT) -> dict[str, t.Any]:
    """A refusal is an answer too: somebody lives there."""
    path = f"{path} ({address}:{port})"
    try:
        socket.create_connection((address, port), timeout).close()
    except ConnectionError as error:
        return row(path, f"the host answers: {error.strerror or error}", True)
    except TimeoutError:
        return row(path, f"silent for {timeout:g} s", False)
    except OSError as error:
        return row(path, f"silent: {error.strerror or error}", False)
    return row(path, "open", True)


def heartbeat(url: str) -> dict[str, t.Any]:
    """What the health daemon of this node hears of the peer on all networks."""
    path = "heartbeats, all networks"
    if not url:
        return row(path, "no health daemon here", None)
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{url}/status.json", timeout=_TIMEOUT) as answer:
            peer = json.loads(answer.read(1 << 20))["peer"]
            alive = bool(peer["alive"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        return row(path, f"the health daemon here does not say: {error}", None)
    return row(path, "heard" if alive else "not heard", alive)


def database(config: HandConfig) -> dict[str, t.Any]:
    """Whether the peer's server takes writes."""
    path = "database, by SQL"
    seen = peer_open(config)
    if seen is None:
        return row(path, "cannot be asked", None)
    return row(path, "takes writes" if seen else "closed for writes", True)


def peer_endpoint(config: HandConfig) -> Endpoint:
    """The peer's server, as this node follows it."""
    peer = config.peer
    return Endpoint(
        host=peer.address, port=peer.port, user=config.replication_user, password=config.replication_password, ca=config.ca,
        connect_timeout=_TIMEOUT, read_timeout=_TIMEOUT,
    )  # fmt: skip


def logins(config: HandConfig) -> list[str]:
    """What is wrong with the accounts that an operation needs on its way, when nobody can wait for a password any more."""
    wrong = []
    for account, endpoint in (
        (f"{config.replication_user} on {config.peer.name}", peer_endpoint(config)),
        (f"{config.canary_user} on {config.node.name}", config.canary()),
    ):
        try:
            with Connection(endpoint) as connection:
                connection.value("SELECT 1")
        except TandemError as error:
            wrong.append(f"{account}: {error}")
    return wrong


def peer_open(config: HandConfig) -> bool | None:
    """True: the peer's server takes writes. False: it says that it does not. None: it cannot be asked."""
    try:
        with Connection(peer_endpoint(config)) as connection:
            return str(connection.value("SELECT @@GLOBAL.read_only")).upper() in ("0", "OFF")
    except TandemError:
        return None


def rows_of_replica(server: ServerState) -> list[dict[str, t.Any]]:
    """The connection of the replica. A dead partner looks connected for slave_net_timeout, so it proves nothing alive."""
    told = server.replication
    if told is None:
        return [{"path": "replication from it", "answer": "no source is set here", "alive": None}]
    said = "connected, as of the last packet" if told.io_connected else told.io_error or "not connected"
    return [{"path": f"replication from it ({told.source_host})", "answer": said, "alive": None if told.io_connected else False}]
