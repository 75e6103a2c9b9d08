# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever restarts both daemons one after the other waits until the first one hears its peer."""

from __future__ import annotations

import asyncio
import socket
import typing as t
from pathlib import Path

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.health import daemon

from .test_daemon import ADDRESSES, Node, free_port, until


class Systemd:
    """What the daemons of this process tell it."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self._ready = 0

    def close(self) -> None:
        self._socket.close()

    @property
    def ready(self) -> int:
        """How many daemons have said so."""
        while True:
            try:
                self._ready += self._socket.recv(4096) == b"READY=1"
            except BlockingIOError:
                return self._ready


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Systemd]:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    one = Systemd(tmp_path / "notify")
    yield one
    one.close()


def play(directory: Path, scenario: t.Callable[[Node, Node], t.Awaitable[None]]) -> None:
    async def run() -> None:
        port = free_port(socket.SOCK_DGRAM)
        a, b = (Node(directory / name, name, port) for name in ADDRESSES)
        try:
            await a.start()
            await scenario(a, b)
        finally:
            await a.stop()
            await b.stop()

    asyncio.run(run())


def test_a_daemon_is_ready_when_it_hears_its_peer(tmp_path: Path, systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "READY_WITHIN", 60.0)

    async def scenario(a: Node, b: Node) -> None:
        await until(lambda: a.daemon.severity == 0)
        assert systemd.ready == 0, "its peer's machine answers, and its daemon has not been heard"
        await b.start()
        await until(lambda: systemd.ready == 2)

    play(tmp_path, scenario)


def test_a_peer_that_is_not_heard_is_not_waited_for_without_end(tmp_path: Path, systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as one with another key of the heartbeats."""
    monkeypatch.setattr(daemon, "READY_WITHIN", 0.3)

    async def scenario(_a: Node, _b: Node) -> None:
        await until(lambda: systemd.ready == 1, 5)

    play(tmp_path, scenario)


def test_a_dead_peer_is_not_waited_for(tmp_path: Path, systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "READY_WITHIN", 60.0)

    async def scenario(a: Node, _b: Node) -> None:
        a.daemon._knocks._verdict.quiet = True
        await until(lambda: systemd.ready == 1, 5)

    play(tmp_path, scenario)
