# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look: what is asked of whom, and what is not asked because it could stop Atlas."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace

from ansible_collections.tandem.lemp.plugins.module_utils.atlas.admin import RO, RW
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.client import READ, WRITE, Account, How
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.probe import Look, Watched, look
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.wire import Endpoint

from .replay import ADDRESS, Exchange, Faults, Server, Transcript, free_port, recorded, replaying, somebody

M1, M2 = ("127.0.0.1:13306", RW), ("127.0.0.1:13307", RO)
TIMEOUT = 2.0
APP = Account("app", "app_pw", TIMEOUT)


def admin_talk() -> Transcript:
    """Both looks on one connection. The accounts are those that were recorded, which are two."""
    return recorded("admin_select_backends").then(*recorded("admin_select_pwds").commands)


def proxy_talk() -> Transcript:
    """A read, and a write that is answered in the same way: none was recorded that changes nothing."""
    talk = recorded("proxy_select_port")
    read = talk.commands[0]
    write = (b"\x03" + WRITE.encode()).join([(len(WRITE) + 1).to_bytes(3, "little") + b"\0", b""])
    return talk.only(read, replace(read, asked=write))


def server_talk() -> Transcript:
    """A server behind Atlas. Its own login was not recorded; Atlas' is the same."""
    return recorded("proxy_select_port")


@contextlib.contextmanager
def behind(reader: Transcript | None = None, faults: Faults | None = None) -> Iterator[tuple[Server, Server]]:
    with replaying(server_talk(), 0, quits=True) as writer, replaying(reader or server_talk(), 0, faults, quits=True) as server:
        yield writer, server


def watched(admin: int, proxy: int, writer: int, reader: int, threads: int = 2) -> Watched:
    servers = ((f"{ADDRESS}:{writer}", RW), (f"{ADDRESS}:{reader}", RO))
    return Watched(Endpoint(ADDRESS, admin, "user", "pwd", TIMEOUT), (ADDRESS, proxy), APP, servers, threads)


def looked(seen: Look) -> tuple[How, ...]:
    return (seen.admin.how, seen.login.how, seen.reads.how, seen.writes.how)


def test_everything_is_well() -> None:
    with replaying(admin_talk(), 0) as admin, replaying(proxy_talk(), quits=True) as proxy, behind() as (writer, reader):
        seen = look(watched(admin.port, proxy.port, writer.port, reader.port))
        assert looked(seen) == (How.OK,) * 4
        assert [one.key for one in seen.backends] == [M1, M2] and seen.users == 2
        assert all(answer.ok for answer in seen.servers.values())
        assert writer.heard == reader.heard == [READ]
        assert proxy.heard == [READ, WRITE] and proxy.logins == 4, "two logins for two threads, and two questions"


def test_a_reader_that_hangs_is_not_asked_through_atlas() -> None:
    with replaying(admin_talk(), 0) as admin, replaying(proxy_talk(), quits=True) as proxy, behind() as (writer, _reader), somebody(b"") as frozen:
        began = time.monotonic()
        seen = look(watched(admin.port, proxy.port, writer.port, frozen))
        assert time.monotonic() - began < 3 * TIMEOUT
        assert seen.servers[f"{ADDRESS}:{frozen}", RO].how is How.SILENT
        assert looked(seen) == (How.OK, How.OK, How.UNASKED, How.OK)
        assert proxy.heard == [WRITE]


def test_a_writer_that_hangs_is_not_asked_through_atlas_nor_is_a_read_that_could_go_there() -> None:
    with replaying(admin_talk(), 0) as admin, replaying(proxy_talk(), quits=True) as proxy, behind() as (_writer, reader), somebody(b"") as frozen:
        seen = look(watched(admin.port, proxy.port, frozen, reader.port))
        assert looked(seen) == (How.OK, How.OK, How.UNASKED, How.UNASKED)
        assert proxy.heard == []


def test_one_that_hangs_and_is_offline_does_no_harm() -> None:
    """Atlas does not connect there: so the rest is asked."""
    talk = recorded("admin_seq_offline_online_slave")
    offline = next(one for one in talk.commands if b"offline" in b"".join(one.answers) and one.look)
    with somebody(b"") as frozen:
        assert len(str(frozen)) == 5, "the recorded length is that of a port of five digits"
        packets = [packet.replace(b"127.0.0.1:13307", f"127.0.0.1:{frozen}".encode()) for packet in offline.answers]
        admin_says = talk.only(Exchange(offline.asked, tuple(packets), 0, 0), *recorded("admin_select_pwds").commands)
        with replaying(admin_says, 0) as admin, replaying(proxy_talk(), quits=True) as proxy, behind() as (writer, _reader):
            seen = look(watched(admin.port, proxy.port, writer.port, frozen))
            assert seen.state((f"{ADDRESS}:{frozen}", RO)) == "offline"
            assert looked(seen) == (How.OK,) * 4


def test_a_dead_one_is_asked_so_that_atlas_sees_for_itself() -> None:
    with replaying(admin_talk(), 0) as admin, replaying(proxy_talk(), quits=True) as proxy, behind() as (writer, _reader):
        seen = look(watched(admin.port, proxy.port, writer.port, free_port()))
        assert looked(seen) == (How.OK,) * 4


def test_a_frozen_atlas_is_asked_nothing_more() -> None:
    with behind() as (writer, reader), somebody(b"") as frozen:
        seen = look(watched(frozen, frozen, writer.port, reader.port))
        assert looked(seen) == (How.SILENT, How.SILENT, How.UNASKED, How.UNASKED)
        assert all(answer.ok for answer in seen.servers.values())


def test_one_frozen_thread_of_two_is_seen() -> None:
    """Whichever of the two it is."""
    talk = replace(recorded("proxy_select_port"), commands=())
    with replaying(talk, 0, Faults(), quits=True) as proxy, somebody(b"") as frozen:
        from ansible_collections.tandem.lemp.plugins.module_utils.atlas import probe

        for ports in ([proxy.port, frozen], [frozen, proxy.port]):
            assert probe._worst(probe.ask(ADDRESS, port, APP) for port in ports).how is How.SILENT


def test_a_dead_atlas() -> None:
    with behind() as (writer, reader):
        seen = look(watched(free_port(), free_port(), writer.port, reader.port))
        assert looked(seen) == (How.REFUSED, How.REFUSED, How.UNASKED, How.UNASKED)


def test_a_wrong_password_of_the_admin_port_is_no_silence() -> None:
    talk = recorded("admin_auth_bad_password")
    with replaying(talk, 0, any_login=True) as admin, behind() as (writer, reader):
        assert look(watched(admin.port, free_port(), writer.port, reader.port)).admin.how is How.BROKEN
