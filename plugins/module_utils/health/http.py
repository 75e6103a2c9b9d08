# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The HTTP side: answers are computed by a pure function; the server is small and does not wait for anybody."""

from __future__ import annotations

import asyncio
import json
import socket
import typing as t
from urllib.parse import parse_qs, urlsplit

from .model import Database, Raw

MAX_REQUEST = 8192
MAX_ANSWER = 1 << 20
MAX_CONNECTIONS = 128
PATIENCE = 3.0
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}
Answer = tuple[int, str]
PATHS = "/primary /replica?max_lag=SECONDS&awake=1 /readable /health /ready /status.json /history.json; with an agent / /metrics /why"


class View(t.Protocol):
    """What the answers are made of."""

    @property
    def started(self) -> bool: ...

    @property
    def severity(self) -> int | None: ...

    def summary(self) -> str: ...

    def database(self) -> tuple[Raw, str, Database | None]:
        """The last look, its text, and the last description that is still believed (None: none)."""

    def status(self) -> dict[str, t.Any]: ...

    def is_dead(self, node: str) -> bool: ...

    def page(self, path: str) -> tuple[str, str, t.Mapping[str, str]] | None:
        """Content type, body and headers of what the agent has to show."""

    def history(self) -> list[dict[str, t.Any]]: ...


AGENT = b"agent "


def agent(line: bytes, view: View) -> str:
    """The answer to HAProxy's agent check of a node (HAProxy configuration manual, agent-check): it is down, or nothing is against it."""
    return "down\n" if view.is_dead(line[len(AGENT) :].strip().decode("latin-1")) else "up\n"


def answer(method: str, target: str, view: View) -> Answer:
    """Status and body for one request."""
    if method not in ("GET", "HEAD", "OPTIONS"):
        return 405, "only GET, HEAD and OPTIONS\n"
    try:
        parts = urlsplit(target)
        query = parse_qs(parts.query)
    except ValueError:
        return 400, "not a request target\n"
    if parts.path == "/status.json":
        return 200, json.dumps(view.status(), indent=2, sort_keys=True) + "\n"
    if parts.path == "/history.json":
        return 200, json.dumps({"entries": view.history()}) + "\n"
    if parts.path in ("/health", "/ready"):
        return (200 if view.severity == 0 else 503), view.summary() + "\n"
    if parts.path not in ("/primary", "/replica", "/readable"):
        return 404, f"paths: {PATHS}\n"
    raw, text, database = view.database()
    if database is None:
        return 503, f"database: {text}\n"
    if parts.path == "/readable":
        return 200, f"{database.version}\n"
    if parts.path == "/primary":
        return (503, "read-only\n") if database.read_only else (200, "writable\n")
    if raw is Raw.SILENT and "awake" in query:
        # Slow is not dead, but a pool that connects to one that hangs may hang with it.
        return 503, f"database: {text}\n"
    return _replica(database, query.get("max_lag", []))


def _replica(database: Database, max_lag: list[str]) -> Answer:
    try:
        limit = float(max_lag[0]) if max_lag else None
    except ValueError:
        return 400, "max_lag is not a number\n"
    replica = database.replica
    if replica is None:
        # Alive, and in another role now: HAProxy sends nobody new and leaves those who are there (disable-on-404).
        return 404, "not a replica\n"
    if not replica.running:
        return 503, f"replication does not run: {replica.error or 'no error'}\n"
    if replica.lag is None or (limit is not None and not replica.lag <= limit):
        return 503, f"lag {replica.lag} s\n"
    return 200, f"lag {replica.lag:g} s behind {replica.source}\n"


class _Connection(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = t.cast(asyncio.Transport, transport)
        if len(self._server.connections) >= MAX_CONNECTIONS:
            self._transport.abort()
            return
        self._server.connections.add(self)
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._server.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.startswith(AGENT) and b"\n" in self._received and self._transport is not None:
            self._transport.write(self._server.agent(self._received).encode())
            self._transport.close()
        elif b"\r\n\r\n" in self._received or b"\n\n" in self._received:
            self._server.respond(self, self._received)
        elif len(self._received) > MAX_REQUEST:
            self.send(400, "request too long\n", True)

    def send(self, status: int, body: str, with_body: bool, kind: str = "", headers: t.Mapping[str, str] | None = None) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        content = body.encode()
        kind = kind or ("application/json" if body.startswith("{") else "text/plain; charset=utf-8")
        said = {"Content-Type": kind, "Content-Length": str(len(content)), "Cache-Control": "no-store", "Connection": "close", **(headers or {})}
        head = f"HTTP/1.0 {status} {REASONS[status]}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in said.items()) + "\r\n"
        transport.write(head.encode() + (content if with_body else b""))
        transport.close()


class Server:
    """Answers from the view; requests that come before the first look wait for it (or for their own patience)."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.connections: set[_Connection] = set()
        self.waiting: list[tuple[_Connection, bytes]] = []
        self._servers: list[asyncio.Server] = []

    async def listen(self, sockets: list[socket.socket], endpoints: t.Iterable[tuple[str, int]]) -> None:
        loop = asyncio.get_running_loop()
        if not sockets:
            for host, port in endpoints:
                self._servers.append(await loop.create_server(lambda: _Connection(self), host, port))
        for sock in sockets:
            sock.setblocking(False)
            self._servers.append(await loop.create_server(lambda: _Connection(self), sock=sock))

    def agent(self, line: bytes) -> str:
        return agent(line.split(b"\n", 1)[0], self._view)

    def respond(self, connection: _Connection, request: bytes) -> None:
        if not self._view.started:
            self.waiting.append((connection, request))
            return
        words = request.split(b"\n", 1)[0].decode("latin-1").split()
        if len(words) != 3 or not words[2].startswith("HTTP/"):
            connection.send(400, "not HTTP\n", True)
            return
        page = self._view.page(urlsplit(words[1]).path) if words[0] in ("GET", "HEAD") else None
        if page is not None:
            connection.send(200, page[1], words[0] != "HEAD", page[0], page[2])
            return
        status, body = answer(words[0], words[1], self._view)
        connection.send(status, body, words[0] != "HEAD")

    def release(self) -> None:
        """The first look is done."""
        waiting, self.waiting = self.waiting, []
        for connection, request in waiting:
            self.respond(connection, request)

    def close(self) -> None:
        for server in self._servers:
            server.close()


async def fetch(address: str, port: int, path: str) -> dict[str, t.Any] | None:
    """What the peer answers; None: nothing, or nothing that can be read."""
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(address, port)
            try:
                writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
                answer = await reader.read(MAX_ANSWER)
                while not reader.at_eof() and len(answer) < MAX_ANSWER:
                    answer += await reader.read(MAX_ANSWER - len(answer))
            finally:
                writer.close()
        found = json.loads(answer.partition(b"\r\n\r\n")[2])
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
