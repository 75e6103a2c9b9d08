# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What HAProxy 2.6 says at run time, as it was captured, and what is told to it. Holding itself is drilled on real nodes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.hand.haproxy import HAProxy, ProxyFailed

STAT = """# pxname,svname,qcur,qmax,scur,smax,slim,stot,status
sql_writer,server1,0,3,4,20,90,1000,UP
sql_writer,server2,0,0,0,0,90,0,DOWN
sql_writer,server1-read,0,0,0,0,90,0,no check
sql_writer,BACKEND,7,9,4,20,200,1000,UP
sql_reader,server1,0,0,9,9,90,1,UP
"""
SESSIONS = """0x1: proto=tcpv4 src=127.0.0.1:1 fe=sql_write be=sql_writer srv=server1 ts=00 epoch=0 age=0s calls=1
0x2: proto=tcpv4 src=127.0.0.1:2 fe=sql_write be=sql_writer srv=server1 ts=00 epoch=0 age=1h2m calls=1
0x3: proto=tcpv4 src=127.0.0.1:3 fe=sql_write be=sql_writer srv=<NONE> ts=00 epoch=0 age=1s calls=1
0x4: proto=tcpv4 src=127.0.0.1:4 fe=sql_read be=sql_reader srv=server1 ts=00 epoch=0 age=1s calls=1
0x5: proto=unix_stream src=unix:1 fe=GLOBAL be=<NONE> srv=<none> ts=00 epoch=0 age=0s calls=1
"""


class Admin:
    """An admin socket that answers with captured text and remembers what it was told."""

    def __init__(self, path: Path) -> None:
        self.answers = {"show stat sql_writer -1 -1": STAT, "show sess": SESSIONS}
        self.told: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                line, _address = self._socket.accept()
            except OSError:
                return
            with line:
                command = line.recv(4096).decode().strip()
                for one in command.split("; "):
                    self.told.append(one)
                    line.sendall(self.answers.get(one, "").encode() + b"\n")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[Admin]:
    server = Admin(tmp_path / "s")
    yield server
    server.close()


@pytest.fixture
def proxy(tmp_path: Path, admin: Admin) -> HAProxy:
    return HAProxy(str(tmp_path / "s"), "127.0.0.1", 1)


def test_requests_are_told_from_connections_that_are_kept(proxy: HAProxy) -> None:
    seen = proxy.in_flight("server1")
    assert (seen.requests, seen.kept) == (frozenset({"0x1"}), 1)


def test_traffic_is_that_of_the_writer_port(proxy: HAProxy) -> None:
    seen = proxy.traffic("server1")
    assert (seen.active, seen.queued) == (4, 7)
    assert proxy.limit("server1") == 90


def test_pointing_opens_the_new_one_before_the_old_one_is_taken_away(proxy: HAProxy, admin: Admin) -> None:
    proxy.point_at("server2", ["server1"], 90)
    assert admin.told == [
        "set server sql_writer/server2 health up",
        "set maxconn server sql_writer/server2 90",
        "set server sql_writer/server1 health down",
        "set maxconn server sql_writer/server1 90",
    ]


def test_who_has_waited_is_let_in_a_few_at_a_time_and_then_everybody(proxy: HAProxy, admin: Admin) -> None:
    proxy.point_at("server2", ["server1"], 20, few=True)
    assert "set maxconn server sql_writer/server2 6" in admin.told
    assert "set maxconn server sql_writer/server1 20" in admin.told
    admin.told.clear()
    proxy.let_in("server2", 20)
    limits = [int(command.rpartition(" ")[2]) for command in admin.told if command.startswith("set maxconn server sql_writer/server2")]
    assert limits == sorted(limits) and len(limits) > 2 and limits[-1] == 20


def test_letting_through_is_the_limit_and_the_checks_of_before(proxy: HAProxy, admin: Admin) -> None:
    proxy.let_through("server1", 90)
    assert admin.told[0] == "set maxconn server sql_writer/server1 90"
    assert {"enable health sql_writer/server1", "enable health sql_writer/server2"} <= set(admin.told)
    assert "enable health sql_writer/server1-read" not in admin.told


def test_nobody_behind_the_writer_port_is_told_and_changes_nothing(proxy: HAProxy, admin: Admin) -> None:
    with pytest.raises(ProxyFailed, match="does not let anybody through"):
        proxy.hold("server1")
    assert not [command for command in admin.told if command.startswith("set maxconn")]


def test_a_refusal_of_haproxy_is_repeated(proxy: HAProxy, admin: Admin) -> None:
    admin.answers["set maxconn server sql_writer/server1 90"] = "No such server."
    with pytest.raises(ProxyFailed, match="No such server"):
        proxy.let_through("server1", 90)


def test_a_server_that_is_not_there(proxy: HAProxy) -> None:
    with pytest.raises(ProxyFailed, match="knows no server server3"):
        proxy.limit("server3")


def test_no_haproxy(tmp_path: Path) -> None:
    with pytest.raises(ProxyFailed, match="does not answer"):
        HAProxy(str(tmp_path / "absent"), "127.0.0.1", 1).servers()
