# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real sshd with the forced command of roles/witness."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent.model import Term
from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.record import Record
from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.register import Misconfigured, Unreachable
from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.ssh import SshRegister, SshSettings, reason

from .race import RACERS, winners
from .servers import PROGRAM, Sshd, children, free_port, wait_for

FREE = Record("", "test-0", 4.0, Term()).text


def record(holder: str, number: int) -> str:
    return Record(holder, f"test-{number}", 4.0, Term(1, "a")).text


Start = t.Callable[..., Sshd]


@pytest.fixture
def start(tmp_path: Path) -> t.Iterator[Start]:
    servers: list[Sshd] = []

    def one(names: t.Sequence[str] = ("a", "b"), *command: str) -> Sshd:
        servers.append(Sshd(tmp_path, names, *command))
        return servers[-1]

    yield one
    for server in servers:
        server.stop()


def ask(server: Sshd, name: str = "a", answer: float = 30.0) -> SshRegister:
    return SshRegister(server.settings(name), name, 60.0, answer)


def test_compare_and_set(start: Start) -> None:
    server = start()
    a, b = ask(server), ask(server, "b")
    assert a.read() is None
    assert not a.swap(record("a", 9), record("a", 1))
    assert a.read() is None
    assert a.swap(None, record("-", 1))
    assert a.swap(record("-", 1), record("a", 2))
    assert b.read() == record("a", 2)
    assert not b.swap(None, record("b", 3))
    assert b.swap(record("a", 2), record("b", 3))
    assert not a.swap(record("a", 2), record("a", 4))
    assert a.read() == record("b", 3)
    assert (server.lease / "record").read_text(encoding="ascii") == record("b", 3) + "\n"
    assert b.swap(record("b", 3), FREE)


def test_a_key_is_good_for_its_own_node_only(start: Start) -> None:
    a = ask(start())
    for old, new in [(None, record("b", 1)), (None, FREE), (None, "anything"), (None, record("a", 1) + "$(id)"), (record("b", 1), FREE),
                     (record("b", 1), record("-", 2))]:  # fmt: skip
        with pytest.raises(Misconfigured, match="not for a"):
            a.swap(old, new)
    assert a.read() is None


def test_a_renewal_costs_milliseconds(start: Start) -> None:
    a = ask(start())
    a.swap(None, record("a", 0))
    began = time.monotonic()
    for number in range(50):
        assert a.swap(record("a", number), record("a", number + 1))
    each = (time.monotonic() - began) / 50
    print(f"{each * 1000:.1f} ms")
    assert each < 0.25  # a new connection for each would take longer


def race(server: Sshd, rounds: int) -> list[int]:
    first = ask(server, RACERS[0])
    assert first.swap(None, record(RACERS[0], 1)) and first.swap(record(RACERS[0], 1), FREE)
    first.close()
    return [len(each) for each in winners(lambda name: ask(server, name), rounds)]


def test_of_eight_exactly_one_gets_it(start: Start) -> None:
    assert race(start(RACERS), 50) == [1] * 50


def test_that_race_would_notice_a_witness_that_does_not_lock(start: Start, tmp_path: Path) -> None:
    text = PROGRAM.read_text(encoding="utf-8")
    careless = tmp_path / "careless.sh"
    for right, wrong in [("$file.new", "$file.$node"), ("! flock -x 9", "false"), ('elif write "$2"', 'elif sleep 0.05 && write "$2"')]:
        assert right in text
        text = text.replace(right, wrong)
    careless.write_text(text, encoding="utf-8")
    assert max(race(start(RACERS, f"sh {careless} NODE DIRECTORY"), 3)) > 1


def test_killed_in_the_middle_the_record_is_the_old_or_the_new_one(start: Start) -> None:
    server = start()
    a = ask(server)
    assert a.swap(None, record("a", 0))
    present, cut = 0, 0
    while cut < 6 or present == 0:
        victims = children(server.process.pid)[1:]
        pid = os.fork()
        if pid == 0:  # kills the whole session while this process goes on asking
            time.sleep(0.03 * cut)
            for victim in victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
            os._exit(0)
        try:
            while True:
                if not a.swap(record("a", present), record("a", present + 1)):
                    assert a.read() == record("a", present + 1), "what was asked for before has happened since"
                present += 1
        except Unreachable:
            cut += 1
        os.waitpid(pid, 0)
        assert a.read() in (record("a", present), record("a", present + 1))


def test_the_whole_server_killed_and_back(start: Start) -> None:
    server = start()
    a = ask(server)
    assert a.swap(None, record("a", 1))
    server.stop()
    with pytest.raises(Unreachable):
        a.read()
    with pytest.raises(Unreachable, match="refused"):
        a.read()
    server.start()
    assert a.read() == record("a", 1)


def test_a_witness_that_stands_still_is_unreachable_in_time_and_found_again(start: Start) -> None:
    server = start()
    a = SshRegister(server.settings("a"), "a", 60.0, 0.5)
    while True:  # 0.5 s are little on a busy machine
        try:
            if a.swap(None, record("a", 1)) or a.read() == record("a", 1):
                break
        except Unreachable:
            continue
    a._connect = 2.0
    server.freeze()
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"no answer within 0.5 s"):
        a.swap(record("a", 1), record("a", 2))
    with pytest.raises(Unreachable):  # no greeting either
        a.read()
    assert time.monotonic() - began < 20
    server.signal_all(signal.SIGCONT)
    found = ask(server).read()
    assert found in (record("a", 1), record("a", 2)), "what was asked for may still happen"


def test_a_session_that_was_left_behind_is_ended_by_the_next(start: Start) -> None:
    server = start()
    first, second = ask(server), ask(server)
    first.read()
    shells = [pid for pid in children(server.process.pid) if b"tandem-witness" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert shells
    second.read()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in shells))
    assert second.read() is None


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("echo hello", "'hello'"),
        ("echo tandem-witness 1 NODE; echo 1 perhaps; cat", "'perhaps'"),
        ("echo tandem-witness 1 NODE; echo 7 value -; cat", "'7 value -'"),
        ("echo tandem-witness 1 NODE; echo 1; cat", "'1'"),
        ("echo tandem-witness 1 NODE; head -c 9000 /dev/zero; cat", r"'\?\?\?"),
        ("echo tandem-witness 1 b", "takes this node's key for that of 'b'"),
        ("/nowhere/tandem-witness", "cannot be started"),
        (f"{PROGRAM} NODE /nowhere", "/nowhere, cannot be written|/nowhere cannot be written"),
    ],
)
def test_whatever_else_answers_is_named(start: Start, command: str, message: str) -> None:
    with pytest.raises(Misconfigured, match=message):
        ask(start(("a",), command)).read()


def test_one_clear_message_per_fault(start: Start, tmp_path: Path) -> None:
    server = start()
    right = server.settings("a")

    def says(**other: t.Any) -> str:
        with pytest.raises(Misconfigured) as caught:
            SshRegister(SshSettings(**{**vars(right), **other}), "a", 60.0).read()
        return str(caught.value)

    assert "does not accept this node's key" in says(identity=str(server.directory / "stranger"))
    assert "does not accept this node's key" in says(user="nobody-of-that-name")
    wrong = tmp_path / "wrong"
    wrong.write_text(server.known_hosts.read_text(encoding="ascii").replace(server.public("host"), server.public("stranger")), encoding="ascii")
    assert "host key is not the one" in says(known_hosts=str(wrong))
    assert "host key is not the one" in says(known_hosts="/dev/null")
    assert "ssh cannot be started" in says(program="/nowhere/ssh")


def test_nobody_there_is_unreachable(start: Start) -> None:
    server = start()
    settings = SshSettings(**{**vars(server.settings("a")), "port": free_port()})
    with pytest.raises(Unreachable, match="refused"):
        SshRegister(settings, "a").read()
    with socket.create_server(("127.0.0.1", settings.port)):  # accepts, and says nothing
        began = time.monotonic()
        with pytest.raises(Unreachable):
            SshRegister(settings, "a", 1.0).read()
        assert time.monotonic() - began < 20


def test_closing_breaks_off_who_waits(start: Start) -> None:
    server = start(("a",), "echo tandem-witness 1 NODE; sleep 60")
    register = SshRegister(server.settings("a"), "a", 60.0, 60.0)
    threading.Timer(1.0, register.close).start()
    began = time.monotonic()
    with pytest.raises(Unreachable):
        register.read()
    assert time.monotonic() - began < 40


@pytest.mark.parametrize(
    ("said", "code", "kind"),
    [
        ("ssh: connect to host w port 22: No route to host", 255, Unreachable),
        ("ssh: Could not resolve hostname w: Name or service not known", 255, Unreachable),
        ("@@@\nHost key verification failed.", 255, Misconfigured),
        ("Load key \"/etc/tandem/ssh/witness\": Permission denied", 255, Misconfigured),
        ("", 0, Unreachable),
        ("sh: 1: /x: not found", 127, Misconfigured),
    ],
)
def test_what_ssh_says_is_understood(said: str, code: int, kind: type[Exception]) -> None:
    found = reason(said, code)
    assert isinstance(found, kind)
    assert found.__class__ is kind
    assert re.fullmatch(r"[ -~]+", str(reason(said, code)))
