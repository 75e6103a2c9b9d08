# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import socket

from ansible_collections.tandem.lemp.plugins.module_utils.hand import evidence


def test_an_open_port_and_a_refusal_are_signs_of_life() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert evidence.knock("port", "127.0.0.1", port)["alive"] is True
    assert evidence.knock("port", "127.0.0.1", port)["alive"] is True


def test_nobody_there_is_silence(monkeypatch) -> None:
    def nobody(*_args):
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", nobody)
    assert evidence.knock("port", "192.0.2.1", 1)["alive"] is False


def test_a_health_daemon_that_says_nothing_proves_nothing() -> None:
    assert evidence.heartbeat("")["alive"] is None
    assert evidence.heartbeat("http://127.0.0.1:1")["alive"] is None
