# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A question as an application asks it, against what a real Atlas said, and against whoever hangs, hangs up or says no."""

from __future__ import annotations

import time

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.atlas.client import READ, WRITE, Account, Answer, How, ask

from .replay import ADDRESS, Faults, free_port, recorded, replaying, somebody

APP = Account("app", "app_pw", 10.0)
HASTY = Account("app", "app_pw", 0.5)


def test_a_login_that_atlas_answers_by_itself() -> None:
    with replaying(recorded("proxy_handshake_auth_ok"), quits=True) as server:
        assert ask(ADDRESS, server.port, APP).ok
        assert server.logins == 1


def test_a_read_goes_through() -> None:
    with replaying(recorded("proxy_select_port"), quits=True) as server:
        assert ask(ADDRESS, server.port, APP, READ).ok
        assert server.heard == ["select @@port"]


def test_a_write_begins_with_the_mark_that_atlas_knows() -> None:
    """It counts at the very beginning only, and without blanks."""
    assert WRITE.startswith("/*master*/")


def test_the_password_is_wrong() -> None:
    """The recorded refusal; what was recorded as wrong password is not known, so the login itself is not compared."""
    with replaying(recorded("proxy_bad_password"), quits=True, any_login=True) as server:
        answer = ask(ADDRESS, server.port, APP)
    assert answer.how is How.BROKEN
    assert "refuses the login: Access denied for user 'app'@'127.0.0.1" in answer.text
    assert "app_pw" not in answer.text + repr(APP)


def test_a_balancer_that_was_told_to_go() -> None:
    with replaying(recorded("proxy_offline_now")) as server:
        answer = ask(ADDRESS, server.port, APP)
    assert (answer.how, answer.text) == (How.BROKEN, "greets with Proxy Warning - Offline Now")


def test_nobody_is_there() -> None:
    assert ask(ADDRESS, free_port(), APP).how is How.REFUSED


@pytest.mark.parametrize("says", [b"", bytes.fromhex("380000000a352e30")], ids=["nothing", "half a greeting"])
def test_one_that_is_frozen_is_left_in_time(says: bytes) -> None:
    with somebody(says) as port:
        began = time.monotonic()
        answer = ask(ADDRESS, port, HASTY, READ)
        assert time.monotonic() - began < HASTY.timeout + 2
    assert (answer.how, answer.text) == (How.SILENT, "no greeting within 0.5 s")


def test_one_that_drips_is_left_in_time() -> None:
    """Each byte comes quickly enough, and all of them do not: one deadline over everything."""
    with replaying(recorded("proxy_select_port"), faults=Faults(drip=0.02), quits=True) as server:
        began = time.monotonic()
        assert ask(ADDRESS, server.port, HASTY, READ).how is How.SILENT
        assert time.monotonic() - began < HASTY.timeout + 2


def test_a_statement_that_hangs() -> None:
    with replaying(recorded("proxy_select_port"), faults=Faults(falls_silent_at="select"), quits=True) as server:
        answer = ask(ADDRESS, server.port, HASTY, READ)
    assert (answer.how, answer.text) == (How.SILENT, "no answer within 0.5 s")


def test_atlas_hangs_up_where_it_has_no_server() -> None:
    """Never an error packet: the connection ends."""
    with replaying(recorded("proxy_select_port"), faults=Faults(hangs_up_at="select"), quits=True) as server:
        answer = ask(ADDRESS, server.port, APP, READ)
    assert (answer.how, answer.text) == (How.BROKEN, "hangs up instead of the answer")


def test_a_server_with_another_login() -> None:
    """What MariaDB says to an account of another plugin, where the client has not said that it knows plugins."""
    greeting = recorded("mariadb_greeting").greeting[0]
    switch = b"\xfeclient_ed25519\x00" + b"x" * 32
    with somebody(greeting + len(switch).to_bytes(3, "little") + b"\x02" + switch) as port:
        answer = ask(ADDRESS, port, APP, READ)
    assert answer.how is How.BROKEN and "another login than mysql_native_password" in answer.text


@pytest.mark.parametrize(
    ("says", "text"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\n", "answers as no server of this kind does"),
        (b"\xff\xff\xff\x00", "answers as no server of this kind does"),
        (b"\x00\x00\x00\x00", "answers as no server of this kind does"),
        (b"\x01\x00\x00\x00\x0a", "a text without an end"),
        (b"\x05\x00\x00\x00\x09abc\x00", "is no server of this kind"),
    ],
)
def test_somebody_else(says: bytes, text: str) -> None:
    with somebody(says, hangs_up=True) as port:
        assert ask(ADDRESS, port, APP, READ) == Answer(How.BROKEN, text)
