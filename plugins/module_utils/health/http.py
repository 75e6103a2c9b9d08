# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The HTTP side: answers are computed by a pure function; the server is small and does not wait for anybody."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import typing as t
from urllib.parse import parse_qs, urlsplit

from .model import Database, Raw

LOG = logging.getLogger("tandem.health")
MAX_REQUEST = 8192
MAX_ANSWER = 1 << 20
MAX_CONNECTIONS = 128
PATIENCE = 3.0
PAUSE = 1.0
AT_ONCE = 1 << 16
NOT_WAITING = int(socket.MSG_DONTWAIT)
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}
Answer = tuple[int, str]
PATHS = "/primary /replica?max_lag=SECONDS&awake=1 /readable?awake=1 /health /ready /status.json /history.json; with an agent / /metrics /why"


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
    if raw is Raw.SILENT and "awake" in query:
        # Slow is not dead, but a pool that connects to one that hangs may hang with it.
        return 503, f"database: {text}\n"
    if parts.path == "/readable":
        return 200, f"{database.version}\n"
    if parts.path == "/primary":
        return (503, "read-only\n") if database.read_only else (200, "writable\n")
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


def _formatted(status: int, body: str, with_body: bool, kind: str = "", headers: t.Mapping[str, str] | None = None) -> bytes:
    content = body.encode()
    kind = kind or ("application/json" if body.startswith("{") else "text/plain; charset=utf-8")
    said = {"Content-Type": kind, "Content-Length": str(len(content)), "Cache-Control": "no-store", "Connection": "close", **(headers or {})}
    head = f"HTTP/1.0 {status} {REASONS[status]}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in said.items()) + "\r\n"
    return head.encode() + (content if with_body else b"")


def _is_whole(request: bytes) -> bool:
    if request.startswith(AGENT):
        return b"\n" in request
    return b"\r\n\r\n" in request or b"\n\n" in request or len(request) > MAX_REQUEST


class _Connection(asyncio.Protocol):
    """A client who is slower than most. request: what it has sent already. rest: of the answer."""

    def __init__(self, server: Server, request: bytes = b"", rest: bytes = b"") -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._received, self._rest = request, rest

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = t.cast(asyncio.Transport, transport)
        if len(self._server.connections) >= MAX_CONNECTIONS:
            self._transport.abort()
            return
        self._server.connections.add(self)
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._transport.abort)
        if self._rest:
            self.send(self._rest)
        elif _is_whole(self._received):
            self._server.respond(self, self._received)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._server.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        if _is_whole(self._received):
            return  # it is being answered
        self._received += data
        if _is_whole(self._received):
            self._server.respond(self, self._received)

    def send(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)
            self._transport.close()


class Server:
    """Answers from the view; requests that come before the first look wait for it (or for their own patience).

    HAProxy asks some 30 times a second, and what it asks is there as soon as its connection is: one turn of the loop is
    enough for that, and a transport of its own gets only who is slower.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self.connections: set[_Connection] = set()
        self.waiting: list[tuple[_Connection, bytes]] = []
        self._listening: list[socket.socket] = []
        self._slow: set[asyncio.Task[t.Any]] = set()

    async def listen(self, sockets: list[socket.socket], endpoints: t.Iterable[tuple[str, int]]) -> None:
        if not sockets:
            sockets = [socket.create_server(one, family=socket.AF_INET6 if ":" in one[0] else socket.AF_INET, backlog=256) for one in endpoints]
        for sock in sockets:
            sock.setblocking(False)
            with contextlib.suppress(OSError):  # only to save work: a connection is shown when it has sent something
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
            self._listening.append(sock)
            self._listen(sock)

    def _listen(self, sock: socket.socket) -> None:
        if sock.fileno() >= 0:
            asyncio.get_running_loop().add_reader(sock, self._accept, sock)

    def _accept(self, sock: socket.socket) -> None:
        for _turn in range(16):
            try:
                connection = sock.accept()[0]
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor is left: not asked again and again
                LOG.error("accept: %s", error)
                loop = asyncio.get_running_loop()
                loop.remove_reader(sock)
                loop.call_later(PAUSE, self._listen, sock)
                return
            self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        request, answer, sent = b"", b"", 0
        try:
            request = connection.recv(AT_ONCE, NOT_WAITING)
            if not request:
                connection.close()
                return
            if self._view.started and _is_whole(request):
                answer = self.reply(request)
                sent = connection.send(answer, NOT_WAITING)
        except BlockingIOError:
            pass
        except OSError:  # it has gone
            connection.close()
            return
        if answer and sent == len(answer):
            connection.close()
            return
        connection.setblocking(False)
        protocol = _Connection(self, request, answer[sent:])
        task = asyncio.ensure_future(asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, connection))
        self._slow.add(task)
        task.add_done_callback(self._slow.discard)

    def reply(self, request: bytes) -> bytes:
        """The whole answer to a whole request."""
        line = request.split(b"\n", 1)[0]
        if request.startswith(AGENT):
            return agent(line, self._view).encode()
        if len(request) > MAX_REQUEST:
            return _formatted(400, "request too long\n", True)
        words = line.decode("latin-1").split()
        if len(words) != 3 or not words[2].startswith("HTTP/"):
            return _formatted(400, "not HTTP\n", True)
        try:
            page = self._view.page(urlsplit(words[1]).path) if words[0] in ("GET", "HEAD") else None
        except ValueError:
            return _formatted(400, "not a request target\n", True)
        if page is not None:
            return _formatted(200, page[1], words[0] != "HEAD", page[0], page[2])
        status, body = answer(words[0], words[1], self._view)
        return _formatted(status, body, words[0] != "HEAD")

    def respond(self, connection: _Connection, request: bytes) -> None:
        if not self._view.started:
            self.waiting.append((connection, request))
            return
        connection.send(self.reply(request))

    def release(self) -> None:
        """The first look is done."""
        waiting, self.waiting = self.waiting, []
        for connection, request in waiting:
            self.respond(connection, request)

    def close(self) -> None:
        for sock in self._listening:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
        self._listening.clear()


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
    except (OSError, ValueError, RecursionError):  # the last one: nested so deep that nobody meant it
        return None
    return found if isinstance(found, dict) else None
