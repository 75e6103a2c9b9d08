# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of the admin port against what a real Atlas said, and against everybody who is none."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from ansible_collections.tandem.lemp.plugins.module_utils.atlas import admin as engine
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.admin import RO, RW, Admin, Backend, plain_address
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.errors import (
    CommandFailed,
    Interrupted,
    NotAdmin,
    NotListening,
    Silent,
    UnknownBackend,
    WrongLogin,
)
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.wire import Endpoint, Wire
from ansible_collections.tandem.lemp.plugins.module_utils.errors import NotYet, OperationFailed, Unreachable

from .replay import ADDRESS, DATA, Faults, Server, Transcript, free_port, recorded, replaying, somebody

M1, M2 = "127.0.0.1:13306", "127.0.0.1:13307"
SECRET = "geheim99"


def there(server: Server | int, user: str = "user", password: str = "pwd", timeout: float = 5) -> Endpoint:
    return Endpoint(ADDRESS, server if isinstance(server, int) else server.port, user, password, timeout)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(engine, "_POLL", 0.01)
    yield


# What is read


def test_backends() -> None:
    with replaying(recorded("admin_select_backends")) as server, Admin(there(server)) as admin:
        assert admin.backends() == (Backend(1, M1, "up", "rw"), Backend(2, M2, "up", "ro"))


def test_version() -> None:
    with replaying(recorded("admin_select_version")) as server, Admin(there(server)) as admin:
        assert admin.version() == "2.2.2"


def test_accounts_come_without_their_passwords() -> None:
    with replaying(recorded("admin_select_pwds")) as server, Admin(there(server)) as admin:
        assert admin.users() == ["app", "root"]


def test_clients() -> None:
    with replaying(recorded("admin_select_clients_empty")) as server, Admin(there(server)) as admin:
        assert admin.clients() == []
    with replaying(recorded("admin_clients_with_newline")) as server, Admin(there(server)) as admin:
        assert admin.clients() == ["use foo\nselect version"]


# What is changed


def test_offline_and_online_until_it_is_up_again() -> None:
    """In the recording it was unknown for 1.5 s."""
    speed = 10
    with replaying(recorded("admin_seq_offline_online"), speed) as server, Admin(there(server)) as admin:
        assert admin.set_offline(M1, RW).state == "offline"
        assert admin.set_online(M1, RW).state == "unknown"
        began = time.monotonic()
        assert admin.wait_up(M1, RW, 5).state == "up"
        assert 1.0 / speed < time.monotonic() - began < 4
        assert server.heard.count("SELECT * FROM backends") > 5
        assert [command for command in server.heard if command.startswith("SET")] == ["SET OFFLINE 1", "SET ONLINE 1"]


def test_up_that_does_not_come_in_time() -> None:
    with replaying(recorded("admin_seq_offline_online"), 1) as server, Admin(there(server)) as admin:
        admin.set_offline(M1, RW)
        admin.set_online(M1, RW)
        with pytest.raises(NotYet, match="is unknown at the Atlas"):
            admin.wait_up(M1, RW, 0.3)


def test_a_backend_that_is_dead_goes_down_and_is_said_so() -> None:
    with replaying(recorded("admin_add_slave"), 1000) as server, Admin(there(server)) as admin:
        assert admin.add("127.0.0.1:13399", RO).state == "unknown"
        with pytest.raises(NotYet, match="13399 is down at the Atlas"):
            admin.wait_up("127.0.0.1:13399", RO, 0.3)


def test_waiting_ends_when_somebody_takes_it_offline() -> None:
    talk = recorded("admin_seq_offline_online")
    with replaying(talk.only(talk.commands[2])) as server, Admin(there(server)) as admin, pytest.raises(OperationFailed, match="somebody else"):
        admin.wait_up(M1, RW, 5)


def undone_by_a_probe(times: int) -> Transcript:
    """Recorded answers in the order in which a probe under way takes an OFFLINE back."""
    talk = recorded("admin_seq_offline_online")
    look_up, offline, look_offline = talk.commands[:3]
    commands = [look_up]
    for number in range(times):
        start = 10.0 * number
        commands += [replace(offline, at=start), replace(look_offline, at=start), replace(look_up, at=start + 2)]
    last = 10.0 * times
    commands += [replace(offline, at=last), replace(look_offline, at=last), replace(look_offline, at=last + 2)]
    return talk.only(*commands)


@pytest.mark.parametrize("times", [0, 1, 2])
def test_an_offline_that_a_probe_undoes_is_said_again(times: int) -> None:
    with replaying(undone_by_a_probe(times), 20) as server, Admin(there(server)) as admin:
        admin.set_offline(M1, RW)
        assert admin.hold_offline(M1, RW, 0.6) == times
        assert server.heard.count("SET OFFLINE 1") == times + 1
        assert admin.backends()[0].state == "offline"


def test_an_offline_that_does_not_hold_is_an_error() -> None:
    with replaying(undone_by_a_probe(4), 20) as server, Admin(there(server)) as admin:
        admin.set_offline(M1, RW)
        with pytest.raises(OperationFailed, match="does not stay offline"):
            admin.hold_offline(M1, RW, 0.6)


def test_adding_moves_the_others_and_is_seen() -> None:
    """ADD MASTER pushes the first slave to the end: what was number 2 is number 4."""
    before, talk = recorded("admin_add_slave").commands[-1], recorded("admin_add_master")
    with replaying(talk.only(before, *talk.commands)) as server, Admin(there(server)) as admin:
        assert admin.find(M2)[0].index == 2
        assert admin.add("127.0.0.1:13397", RW) == Backend(2, "127.0.0.1:13397", "unknown", "rw")
        assert admin.find(M2)[0].index == 4
        assert server.heard[1] == "ADD MASTER 127.0.0.1:13397"


def test_removing_goes_by_address_whatever_the_places_are() -> None:
    with replaying(recorded("admin_remove_backend")) as server, Admin(there(server)) as admin:
        admin.remove("127.0.0.1:13399", RO)
        admin.remove(M2, RW)
        admin.remove("127.0.0.1:13397", RW)
        assert [backend.key for backend in admin.backends()] == [(M1, "rw"), (M2, "ro")]
        assert [told for told in server.heard if told.startswith("REMOVE")] == ["REMOVE BACKEND 5", "REMOVE BACKEND 3", "REMOVE BACKEND 2"]


def test_the_same_address_may_be_there_twice() -> None:
    talk = recorded("admin_remove_backend")
    with replaying(talk.only(talk.commands[2])) as server, Admin(there(server)) as admin:
        assert [(backend.index, backend.type) for backend in admin.find(M2)] == [(3, "rw"), (4, "ro")]


def test_a_place_that_moved_between_look_and_command_is_taken_back() -> None:
    """Looked up: 2 is 13397. Hit: 13307, since somebody removed 13397 in between."""
    slave, master = recorded("admin_seq_offline_online_slave"), recorded("admin_add_master")
    look, offline, look_offline, _later, online = slave.commands[:5]
    five = master.commands[1]
    with replaying(slave.only(five, replace(offline, at=1), replace(look_offline, at=1), replace(online, at=1))) as server:
        with Admin(there(server)) as admin, pytest.raises(CommandFailed, match=r"13307 \(ro\) was set offline instead.*taken back"):
            admin.set_offline("127.0.0.1:13397", RW)
        assert server.heard == ["SELECT * FROM backends", "SET OFFLINE 2", "SELECT * FROM backends", "SET ONLINE 2"]
    assert look.look


def test_a_removal_that_removed_another_one_is_an_error() -> None:
    talk = recorded("admin_remove_backend")
    look, remove_5, _after_5, _remove_3, after_3 = talk.commands[:5]
    with (
        replaying(talk.only(look, remove_5, replace(after_3, at=remove_5.at))) as server,
        Admin(there(server)) as admin,
        pytest.raises(CommandFailed, match=r"127.0.0.1:13307 \(rw\) is missing that should be there"),
    ):
        admin.remove("127.0.0.1:13399", RO)


def test_done_that_was_not_done_is_an_error() -> None:
    """Atlas says "done" to everything."""
    talk = recorded("admin_add_slave")
    listed, added = talk.commands[-1], talk.commands[0]
    with (
        replaying(talk.only(replace(added, asked=added.asked.replace(b"13399", b"13398")), replace(listed, at=added.at))) as server,
        Admin(there(server)) as admin,
        pytest.raises(CommandFailed, match=r"said that it added 127.0.0.1:13398 \(ro\), and does not have it"),
    ):
        admin.add("127.0.0.1:13398", RO)
    seq = recorded("admin_seq_offline_online")
    look, offline = seq.commands[:2]
    with (
        replaying(seq.only(look, offline, replace(look, at=offline.at))) as server,
        Admin(there(server)) as admin,
        pytest.raises(CommandFailed, match="shows it as up"),
    ):
        admin.set_offline(M1, RW)
    with (
        replaying(seq.only(seq.commands[2], seq.commands[3], replace(seq.commands[2], at=seq.commands[3].at))) as server,
        Admin(there(server)) as admin,
        pytest.raises(CommandFailed, match="shows it as offline"),
    ):
        admin.set_online(M1, RW)


def test_save_says_nothing() -> None:
    talk = recorded("admin_save_config")
    with replaying(talk.only(talk.commands[1])) as server, Admin(there(server)) as admin:
        admin.save_config()


# What goes wrong


def test_nobody_there() -> None:
    with pytest.raises(NotListening, match=r"Nobody takes connections at 127.0.0.1:\d+: Connection refused.*on the node's inside address"):
        Admin(there(free_port()))


def test_no_such_host() -> None:
    with pytest.raises(NotListening):
        Admin(Endpoint("atlas.invalid", 2345, "user", "pwd", 1))


@pytest.mark.parametrize(
    ("name", "user", "password", "says"),
    [
        ("admin_auth_bad_password", "user", "wrong", "refused the password of 'user'"),
        ("admin_auth_bad_user", "nobody", "pwd", "does not know the user 'nobody'"),
        ("admin_username_case", "USER", "pwd", "does not know the user 'USER'"),
    ],
)
def test_wrong_login(name: str, user: str, password: str, says: str) -> None:
    with replaying(recorded(name)) as server, pytest.raises(WrongLogin, match=says) as refused:
        Admin(there(server, user, password))
    assert password not in str(refused.value).replace("admin-password", "").replace("the password of", "")


@pytest.mark.parametrize("user", ["", "a\0b"])
def test_a_user_that_nobody_can_be(user: str) -> None:
    with replaying(recorded("admin_auth_bad_user")) as server, pytest.raises(WrongLogin, match="such a name"):
        Admin(there(server, user))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("proxy_handshake_auth_ok", "where applications connect to an Atlas"),
        ("proxy_ip_forbidden", "refuses everybody who comes from here: 'Proxy Warning - IP Forbidden'"),
        ("mariadb_greeting", "database server, or looks like one: it calls itself 5.5.5-10.11.19-MariaDB-0.deb12u1-log"),
    ],
)
def test_who_is_no_admin_port_never_hears_the_login(name: str, says: str) -> None:
    with replaying(recorded(name)) as server:
        with pytest.raises(NotAdmin, match=says):
            Admin(there(server))
        assert (server.logins, server.wrong) == (0, [])


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "begins with 'SSH-', which is not MySQL's protocol"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "begins with 'HTTP'"),
        (b"\x1b]0;x\x07", r"begins with '\?\]0;'"),
        (b"\x05\x00\x00\x00\x09abc\x00", "speaks version 9"),
        (b"\x01\x00\x00\x00\x0a", "greets with a text without an end"),
        (b"\x06\x00\x00\x00\x0a5.0.9", "greets with a text without an end"),
        (b"\x14\x00\x00\x00\x0a5.0.99-agent-admin\x00", "greets with a packet that ends too early"),
        (b"\x17\x00\x00\x00\xff\x10\x04#08004Too many people\x1b[0m", "Too many people"),
    ],
)
def test_somebody_else(said: bytes, says: str) -> None:
    said = said if not said.startswith(b"\x17") else (len(said) - 4).to_bytes(3, "little") + said[3:]
    with somebody(said) as port, pytest.raises(NotAdmin, match=says) as refused:
        Admin(there(port))
    assert "\x1b" not in str(refused.value) and not isinstance(refused.value, Unreachable)


def test_an_old_kind_of_login_is_not_tried() -> None:
    greeting = recorded("admin_select_backends").greeting[0]
    weak = greeting.replace(b"\x01\x82\x08", b"\x01\x02\x08")
    assert weak != greeting
    with somebody(weak) as port, pytest.raises(NotAdmin, match="login of another kind"):
        Admin(there(port))


def test_silence_is_waited_out_and_named() -> None:
    began = time.monotonic()
    with somebody(b"") as port, pytest.raises(Silent, match=r"says nothing within 0\.2 s"):
        Admin(there(port, timeout=0.2))
    assert 0.2 <= time.monotonic() - began < 2


def test_who_hangs_up_at_once() -> None:
    with somebody(b"", hangs_up=True) as port, pytest.raises(NotAdmin, match="hangs up"):
        Admin(there(port))


def test_a_greeting_that_drips_has_one_timeout_for_all() -> None:
    began = time.monotonic()
    with replaying(recorded("admin_select_backends"), faults=Faults(drip=0.05)) as server, pytest.raises(Interrupted, match="1 s"):
        Admin(there(server, timeout=1))
    assert time.monotonic() - began < 3


def test_a_slow_answer_within_the_time_is_an_answer() -> None:
    with replaying(recorded("admin_select_backends"), faults=Faults(drip=0.002)) as server, Admin(there(server, timeout=5)) as admin:
        assert len(admin.backends()) == 2


def test_unknown_backend() -> None:
    with replaying(recorded("admin_select_backends")) as server, Admin(there(server)) as admin:
        with pytest.raises(UnknownBackend, match=r"no backend 192.0.2.9:3306 \(rw\)\. It has 127.0.0.1:13306 \(rw\), 127.0.0.1:13307 \(ro\)"):
            admin.set_offline("192.0.2.9:3306", RW)
        with pytest.raises(UnknownBackend):
            admin.set_offline(M2, RW)
        assert not [told for told in server.heard if told.startswith("SET")]


def test_a_backend_that_goes_before_it_is_hit() -> None:
    """Atlas' own answer to a place that is not there."""
    look, error = recorded("admin_select_backends"), recorded("admin_set_offline_99").commands[0]
    gone = replace(error, asked=recorded("admin_seq_offline_online").commands[1].asked, at=1)
    with replaying(look.then(gone, replace(look.commands[0], at=2))) as server, Admin(there(server)) as admin, pytest.raises(UnknownBackend):
        admin.set_offline(M1, RW)
    errors = recorded("admin_remove_backend_errors")
    gone = replace(errors.commands[1], asked=recorded("admin_remove_backend").commands[1].asked, at=1)
    listed = recorded("admin_remove_backend").commands[0]
    with replaying(look.only(listed, gone, replace(look.commands[0], at=2))) as server, Admin(there(server)) as admin, pytest.raises(UnknownBackend):
        admin.remove("127.0.0.1:13399", RO)


def test_a_refused_command_keeps_the_connection() -> None:
    talk = recorded("admin_add_slave")
    refusal = next(one for one in talk.commands if one.command == "ADD SLAVE localhost:3306")
    with replaying(talk.only(refusal, talk.commands[-1])) as server, Admin(there(server)) as admin:
        with pytest.raises(CommandFailed, match=r"refused 'ADD SLAVE localhost:3306': use 'SELECT \* FROM help'") as failed:
            admin._wire.query("ADD SLAVE localhost:3306", ["status"])
        assert failed.value.code == 1105
        assert len(admin.backends()) == 3


@pytest.mark.parametrize("command", ["SELECT VERSION;", " SELECT VERSION", "SELECT VERSION ", "SELECT\nVERSION", "SET OFFLINE 1\0"])
def test_what_atlas_would_misread_is_not_sent(command: str) -> None:
    with replaying(recorded("admin_select_version")) as server, Admin(there(server)) as admin:
        with pytest.raises(CommandFailed, match="cannot be said to Atlas"):
            admin._wire.query(command, ["version"])
        assert server.heard == []


@pytest.mark.parametrize(
    "address",
    ["192.0.2.1", "localhost:3306", "999.1.1.1:1", "10.0.0.1:99999", "10.0.0.1:0", "10.0.0.1:-1", "10.0.0.1:4294967297",
     "10.0.0.1:3306;", "10.0.0.1:3306@3", "[::1]:3306", " 10.0.0.1:3306", "10.0.0.1:３３０６", "010.0.0.1:3306", ""],
)  # fmt: skip
def test_addresses_that_atlas_takes_and_does_nothing_with(address: str) -> None:
    with replaying(recorded("admin_select_backends")) as server, Admin(there(server)) as admin:
        with pytest.raises(CommandFailed, match="no address that Atlas can add"):
            admin.add(address, RW)
        assert server.heard == []


def test_a_plain_address() -> None:
    assert plain_address("192.0.2.1:03306") == "192.0.2.1:3306"


def test_silence_in_the_middle() -> None:
    with (
        replaying(recorded("admin_seq_offline_online"), faults=Faults(falls_silent_at="SET OFFLINE")) as server,
        Admin(there(server, timeout=1)) as admin,
        pytest.raises(Interrupted, match=r"broke at 'SET OFFLINE 1': no answer within 1 s. Whether it was done is not known"),
    ):
        admin.set_offline(M1, RW)


def test_hanging_up_in_the_middle() -> None:
    with (
        replaying(recorded("admin_seq_offline_online"), faults=Faults(hangs_up_at="SET OFFLINE")) as server,
        Admin(there(server)) as admin,
        pytest.raises(Interrupted, match=r"broke at 'SET OFFLINE 1': the other side hung up. Whether it was done is not known"),
    ):
        admin.set_offline(M1, RW)


def total(talk: Transcript) -> int:
    answers = [*talk.greeting, *(talk.login.answers if talk.login else ())]
    return len(b"".join(answers)) + sum(len(b"".join(one.answers)) for one in talk.commands)


@given(some.integers(0, total(recorded("admin_select_backends")) - 1))
@settings(max_examples=80)
def test_an_answer_that_is_cut_anywhere_is_an_error_of_one_kind(cut: int) -> None:
    talk = recorded("admin_select_backends")
    with (
        replaying(talk, faults=Faults(cut_after=cut)) as server,
        pytest.raises(Interrupted if cut else NotAdmin, match=r"hung up|hangs up|reset"),
        Admin(there(server)) as admin,
    ):
        admin.backends()


@given(some.data())
@settings(max_examples=150)
def test_nothing_that_a_server_says_breaks_the_client(data: some.DataObject) -> None:
    """One byte of the answers differs, and the server hangs up after them: an answer, or an error of ours."""
    talk = recorded("admin_select_backends")
    answers = b"".join(talk.commands[0].answers)
    at, value = data.draw(some.integers(0, len(answers) - 1)), data.draw(some.integers(0, 255))
    twisted = answers[:at] + bytes([value]) + answers[at + 1 :]
    with (
        replaying(talk.only(replace(talk.commands[0], answers=(twisted,), closes=True))) as server,
        Admin(there(server)) as admin,
        contextlib.suppress(NotAdmin, Interrupted, CommandFailed),
    ):
        assert len(admin.backends()) <= 2


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b"\x0bbackend_ndx", b"\x0bbackend_num", "with the columns backend_num, address, state, type"),
        (b"\x011\x0f127.0.0.1:13306", b"\x012\x0f127.0.0.1:13306", "numbers its backends in another way"),
        (b"127.0.0.1:13307\x02up\x02ro", b"127.0.0.1:13306\x02up\x02rw", "lists a backend twice"),
        (b"\x02up\x02rw", b"\x02uq\x02rw", "lists the backend"),
        (b"\x02up\x02rw", b"\x02up\x02xx", "lists the backend"),
        (b"127.0.0.1:13306", b"127.0.0.1\n13306", r"lists the backend '1, 127.0.0.1\?13306"),
        (b"\x011\x0f127", b"\xfb1\x0f127", "a value that is missing"),
        (b"\x04", b"\x00", "no table"),
    ],
)
def test_an_answer_that_no_atlas_gives(old: bytes, new: bytes, says: str) -> None:
    talk = recorded("admin_select_backends")
    answers = [answer if done else answer.replace(old, new, 1) for answer, done in once(talk.commands[0].answers, old)]
    twisted = talk.only(replace(talk.commands[0], answers=tuple(answers)))
    with replaying(twisted) as server, Admin(there(server)) as admin, pytest.raises(NotAdmin, match=says):
        admin.backends()


def once(answers: tuple[bytes, ...], old: bytes) -> Iterator[tuple[bytes, bool]]:
    done = False
    for answer in answers:
        yield answer, done
        done = done or old in answer


def test_an_endless_answer_is_not_read_to_its_end() -> None:
    talk = recorded("admin_select_clients_empty")
    head, end = talk.commands[0].answers[:-1], talk.commands[0].answers[-1]
    row = b"\xfd" + (60000).to_bytes(3, "little") + b"x" * 60000
    number = head[-1][3]
    rows = [len(row).to_bytes(3, "little") + bytes([(number + 1 + i) % 256]) + row for i in range(40)]
    endless = talk.only(replace(talk.commands[0], answers=(*head, *rows, end)))
    with replaying(endless) as server, Admin(there(server)) as admin, pytest.raises(NotAdmin, match="more than anybody could want"):
        admin.clients()


def test_after_a_broken_answer_nothing_more_is_said() -> None:
    talk = recorded("admin_select_backends")
    broken = replace(talk.commands[0], answers=(b"\x01\x00\x00\x05\x04",))
    with replaying(talk.only(broken)) as server, Admin(there(server)) as admin:
        with pytest.raises(NotAdmin, match="out of order"):
            admin.backends()
        with pytest.raises(Interrupted):
            admin.backends()
        assert server.heard == ["SELECT * FROM backends"]


def test_no_text_of_an_endpoint_has_its_password() -> None:
    endpoint = Endpoint("192.0.2.1", 2345, "user", SECRET)
    assert SECRET not in f"{endpoint} {endpoint!r}"


@pytest.mark.parametrize("name", sorted(path.stem for path in DATA.glob("admin_*.json")))
def test_every_recording_is_replayed_byte_for_byte(name: str) -> None:
    """The server of these tests is the recorded one: what was heard then is answered with what was said then."""
    talk = recorded(name)
    assert talk.login is not None
    user = talk.login.asked[36 : talk.login.asked.index(0, 36)].decode()
    password = "wrong" if name == "admin_auth_bad_password" else "pwd"
    with replaying(talk, 0) as server:
        if talk.login.closes:
            with pytest.raises(WrongLogin):
                Wire(there(server, user, password))
            return
        wire = Wire(there(server, user, password))
        for one in talk.commands:
            wire._socket.sendall(one.asked)
            wanted = b"".join(one.answers)
            wire._deadline = time.monotonic() + 5
            assert wire._some(len(wanted)) == wanted
        wire.close()
        assert server.heard == [one.command for one in talk.commands] and server.story.left == []
