# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What HAProxy is told, and what garbage and slow clients can do (nothing)."""

from __future__ import annotations

import asyncio
import socket
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tandem.lemp.plugins.module_utils.health import http
from ansible_collections.tandem.lemp.plugins.module_utils.health.model import Database, Raw, Replica


class View:
    """A node whose database is as given."""

    def __init__(self, database: Database | None, severity: int | None = 0, look: Raw = Raw.OK) -> None:
        self._database, self._look = database, look
        self.severity = severity
        self.started = True

    def summary(self) -> str:
        return "healthy" if self.severity == 0 else "ill"

    def database(self) -> tuple[Raw, str, Database | None]:
        return self._look, "text", self._database

    def status(self) -> dict[str, t.Any]:
        return {"severity": self.severity}

    def is_dead(self, node: str) -> bool:
        return node == "the dead one"

    def page(self, path):
        return ("text/html", "<p>", {"X-Frame-Options": "DENY"}) if path == "/" else None

    def history(self):
        return [{"kind": "transition"}]


def replica(lag: float | None = 3, io: bool = True, sql: bool = True) -> Database:
    return Database("10.11", True, Replica(io, sql, lag, "node-a:3306"))


PRIMARY = Database("10.11", False, None)
CASES = [
    (PRIMARY, "/primary", 200),
    (PRIMARY, "/replica", 404),
    (PRIMARY, "/readable", 200),
    (replica(), "/primary", 503),
    (replica(), "/replica", 200),
    (replica(), "/replica?max_lag=3", 200),
    (replica(), "/replica?max_lag=2", 503),
    (replica(), "/replica?max_lag=nan", 503),
    (replica(), "/replica?max_lag=ten", 400),
    (replica(lag=None), "/replica", 503),
    (replica(io=False), "/replica", 503),
    (replica(sql=False), "/replica", 503),
    (replica(io=False), "/readable", 200),
    (None, "/primary", 503),
    (None, "/replica", 503),
    (None, "/readable", 503),
    (None, "/health", 200),
    (None, "/status.json", 200),
    (None, "/", 404),
    (None, "//[", 400),
]


@pytest.mark.parametrize(
    ("database", "target", "status"), CASES, ids=[f"{case[1]}-{number}" for number, case in enumerate(CASES)]
)
def test_answers(database: Database | None, target: str, status: int) -> None:
    assert http.answer("GET", target, View(database))[0] == status


@pytest.mark.parametrize(
    ("look", "target", "status"),
    [
        (Raw.SILENT, "/replica?max_lag=3&awake=1", 503),
        (Raw.BUSY, "/replica?max_lag=3&awake=1", 200),
        (Raw.OK, "/replica?max_lag=3&awake=1", 200),
        (Raw.SILENT, "/replica?max_lag=3", 200),
        (Raw.SILENT, "/readable?awake=1", 503),
        (Raw.BUSY, "/readable?awake=1", 200),
        (Raw.SILENT, "/readable", 200),
    ],
)
def test_slow_is_not_dead_unless_somebody_would_hang_with_it(look: Raw, target: str, status: int) -> None:
    assert http.answer("GET", target, View(replica(), look=look))[0] == status


@pytest.mark.parametrize(("severity", "status"), [(0, 200), (1, 503), (2, 503), (None, 503)])
def test_health(severity: int | None, status: int) -> None:
    assert http.answer("GET", "/health", View(None, severity))[0] == status


def test_other_methods_are_refused() -> None:
    assert http.answer("POST", "/health", View(None))[0] == 405


@given(st.text(max_size=200))
def test_any_target_gets_an_answer(target: str) -> None:
    assert http.answer("GET", target, View(replica()))[0] in http.REASONS


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"a":' * 100_000, b"\xff", b"[]", b"", b"{"])
def test_what_the_peer_answers_may_be_anything(body: bytes) -> None:
    async def run() -> t.Any:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + body)
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            return await http.fetch("127.0.0.1", server.sockets[0].getsockname()[1], "/status.json")

    assert asyncio.run(run()) is None


def talk(*requests: bytes, view: View | None = None, close: bool = True) -> list[bytes]:
    """Send each request over a connection of its own to a real server."""

    async def run() -> list[bytes]:
        sock = socket.create_server(("127.0.0.1", 0))
        server = http.Server(view or View(PRIMARY))
        await server.listen([sock], [])
        answers = []
        try:
            for request in requests:
                reader, writer = await asyncio.open_connection(*sock.getsockname())
                writer.write(request)
                if close:
                    writer.write_eof()
                answers.append(await asyncio.wait_for(reader.read(), 10))
                writer.close()
        finally:
            server.close()
        return answers

    return asyncio.run(run())


def test_garbage_does_not_stop_the_next_client() -> None:
    garbage = [
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"GET\r\n\r\n",
        b"A" * 9000,
        b"",
        b"GET /primary HTTP/1.0\r\n\r\n",
    ]
    answers = talk(*garbage)
    assert [answer[9:12] for answer in answers] == [b"400", b"400", b"400", b"", b"200"]


def test_a_slow_client_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PATIENCE", 0.1)
    assert talk(b"GET /prim", b"GET /primary HTTP/1.0\r\n\r\n", close=False)[0] == b""


def test_head_has_no_body() -> None:
    assert talk(b"HEAD /primary HTTP/1.0\r\n\r\n")[0].endswith(b"\r\n\r\n")


def test_a_check_during_the_start_waits_for_the_first_look() -> None:
    async def run() -> bytes:
        view = View(PRIMARY)
        view.started = False
        sock = socket.create_server(("127.0.0.1", 0))
        server = http.Server(view)
        await server.listen([sock], [])
        reader, writer = await asyncio.open_connection(*sock.getsockname())
        writer.write(b"GET /primary HTTP/1.0\r\n\r\n")
        answer = asyncio.ensure_future(reader.read())
        async with asyncio.timeout(10):
            while not server.waiting:
                await asyncio.sleep(0.005)
        assert not answer.done()
        view.started = True
        server.release()
        result = await asyncio.wait_for(answer, 10)
        writer.close()
        server.close()
        return result

    assert b" 200 " in asyncio.run(run())


def test_haproxys_agent_check_hears_of_the_dead() -> None:
    assert http.agent(b"agent the dead one", View(None)) == "down\n"
    assert http.agent(b"agent another", View(None)) == "up\n"
    assert http.agent(b"agent ", View(None)) == "up\n"
