# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real named, asked by dynamic updates with a condition."""

from __future__ import annotations

import base64
import signal
import socket
import struct
import threading
import time
import typing as t
from pathlib import Path

import dns.message
import dns.query
import dns.tsig
import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent.model import Term
from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.record import Record
from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.register import Misconfigured, Unreachable
from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.rfc2136 import DnsRegister, DnsSettings

from .race import RACERS, winners
from .servers import Named, Says, free_port

FREE = Record("", "test-0", 4.0, Term()).text
OTHER_SECRET = base64.b64encode(b"x" * 32).decode()


def record(holder: str, number: int) -> str:
    return Record(holder, f"test-{number}", 4.0, Term(1, "a")).text


@pytest.fixture
def server(tmp_path: Path) -> t.Iterator[Named]:
    named = Named(tmp_path)
    yield named
    named.stop()


def ask(server: Named, **other: t.Any) -> DnsRegister:
    return DnsRegister(server.settings(**other), 30.0)


def test_compare_and_set(server: Named) -> None:
    a, b = ask(server), ask(server)
    assert a.read() is None
    assert not a.swap(record("a", 9), record("a", 1))
    assert a.read() is None
    assert a.swap(None, record("a", 1))
    assert not b.swap(None, record("b", 2))
    assert b.read() == record("a", 1)
    assert b.swap(record("a", 1), record("b", 3))
    assert not a.swap(record("a", 1), record("a", 4))
    assert a.read() == record("b", 3)


def test_a_long_record_is_one_record(server: Named) -> None:
    a, long = ask(server), [record("n" * 250, number) for number in (1, 2)]
    assert a.swap(None, long[0]) and a.read() == long[0]
    assert a.swap(long[0], long[1]) and a.read() == long[1]


def test_a_renewal_costs_milliseconds(server: Named) -> None:
    a = ask(server)
    a.swap(None, record("a", 0))
    began = time.monotonic()
    for number in range(50):
        assert a.swap(record("a", number), record("a", number + 1))
    each = (time.monotonic() - began) / 50
    print(f"{each * 1000:.1f} ms")
    assert each < 0.25


def test_of_eight_exactly_one_gets_it(server: Named) -> None:
    assert ask(server).swap(None, FREE)
    settings = server.settings()
    assert [len(each) for each in winners(lambda _name: DnsRegister(settings, 30.0), 50)] == [1] * 50


def test_that_race_would_notice_a_change_without_a_condition(server: Named) -> None:
    assert ask(server).swap(None, FREE)

    class Careless(DnsRegister):
        def swap(self, old: str | None, new: str) -> bool:
            found = self.read()
            time.sleep(0.05)
            return found == old and (super().swap(found, new) or True)

    settings = server.settings()
    assert max(len(each) for each in winners(lambda _name: Careless(settings, 30.0), 3)) > 1


def test_killed_in_the_middle_what_was_granted_is_there(server: Named) -> None:
    a = ask(server)
    assert a.swap(None, record("a", 0))
    present = 0
    for _each in range(3):
        for _more in range(5):
            assert a.swap(record("a", present), record("a", present + 1))
            present += 1
        server.stop()
        with pytest.raises(Unreachable):
            a.swap(record("a", present), record("a", present + 1))
        server.start()
        assert a.read() == record("a", present)


def test_a_witness_that_stands_still_is_unreachable_in_time_and_found_again(server: Named) -> None:
    assert ask(server).swap(None, record("a", 1))
    a = DnsRegister(server.settings(), 0.5)
    server.freeze()
    began = time.monotonic()
    with pytest.raises(Unreachable, match="no answer"):
        a.swap(record("a", 1), record("a", 2))
    assert time.monotonic() - began < 10
    server.signal_all(signal.SIGCONT)
    assert ask(server).read() in (record("a", 1), record("a", 2)), "what was asked for may still happen"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"secret": OTHER_SECRET}, "does not know the key pair"),
        ({"key": "nobody"}, "does not know the key nobody"),
        ({"zone": "other.test"}, "does not let the key pair|is not the server|is not the primary"),
    ],
)
def test_one_clear_message_per_fault(server: Named, other: dict[str, str], message: str) -> None:
    for call in (lambda: ask(server, **other).read(), lambda: ask(server, **other).swap(None, FREE)):
        with pytest.raises(Misconfigured, match=message):
            call()


def test_a_key_that_may_not_change_it(server: Named) -> None:
    guest = ask(server, key="guest")
    assert guest.read() is None
    with pytest.raises(Misconfigured, match="does not let the key guest"):
        guest.swap(None, FREE)
    with pytest.raises(Misconfigured, match="does not let the key pair"):
        ask(server, record="another").swap(None, FREE)


def test_settings_that_cannot_be_used(server: Named, tmp_path: Path) -> None:
    for other in ({"secret": "no base64!"}, {"record": "pair.elsewhere.test."}):
        with pytest.raises(Misconfigured):
            ask(server, **other)
    with pytest.raises(Misconfigured, match="No such file"):
        DnsRegister(DnsSettings(**{**vars(server.settings()), "secret_file": str(tmp_path / "none")}))


def test_a_clock_that_is_far_off(server: Named, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 1000)
    with pytest.raises(Misconfigured, match="5 minutes"):
        ask(server).read()


def test_two_records_are_not_chosen_from(server: Named) -> None:
    update = dns.update.UpdateMessage("lease.test")
    update.add("pair", 0, "TXT", record("a", 1))
    update.add("pair", 0, "TXT", record("b", 2))
    update.use_tsig(dns.tsig.Key("pair", server.secret, "hmac-sha256"))
    assert dns.query.tcp(update, "127.0.0.1", 5, server.port).rcode() == 0
    with pytest.raises(Misconfigured, match="2 TXT records"):
        ask(server).read()
    assert not ask(server).swap(record("a", 1), record("a", 3))


def framed(message: bytes) -> bytes:
    return struct.pack("!H", len(message)) + message


def test_forged_and_garbled_answers_grant_nothing(server: Named) -> None:
    yes = dns.message.make_response(dns.message.make_query("pair.lease.test", "TXT")).to_wire()
    for what in (b"", b"\x00", framed(b"garbage"), framed(yes), b"HTTP/1.0 400 Bad Request\r\n\r\n"):
        liar = Says(what)
        try:
            for call in (lambda it: it.read(), lambda it: it.swap(None, FREE)):
                with pytest.raises((Misconfigured, Unreachable)):
                    call(ask(server, port=liar.port))
        finally:
            liar.stop()


class Forger:
    """Answers yes to every question, with the question's own number, unsigned or signed with another secret."""

    def __init__(self, key: dns.tsig.Key | None) -> None:
        self.key, self.server = key, socket.create_server(("127.0.0.1", 0))
        self.port = int(self.server.getsockname()[1])

    def serve_one(self) -> None:
        line, _peer = self.server.accept()
        with line:
            size = struct.unpack("!H", line.recv(2))[0]
            wire = line.recv(size)
            if self.key is None:  # the same question, marked as an answer without an error
                end = wire.index(b"\x00", 12) + 5
                line.sendall(framed(wire[:2] + bytes([wire[2] | 0x84, 0]) + struct.pack("!4H", 1, 0, 0, 0) + wire[12:end]))
                return
            asked = dns.message.from_wire(wire, keyring=False, continue_on_error=True)
            answer = dns.message.Message(asked.id)
            answer.flags, answer.question = asked.flags | dns.flags.QR | dns.flags.AA, asked.question
            answer.set_opcode(asked.opcode())
            answer.use_tsig(self.key)
            answer.request_mac = asked.mac
            line.sendall(framed(answer.to_wire()))


@pytest.mark.parametrize("signed", [False, True])
def test_a_yes_without_the_right_signature_is_no_yes(server: Named, signed: bool) -> None:
    forger = Forger(dns.tsig.Key("pair", OTHER_SECRET, "hmac-sha256") if signed else None)
    for call in (lambda it: it.read(), lambda it: it.swap(None, FREE)):
        thread = threading.Thread(target=forger.serve_one, daemon=True)
        thread.start()
        with pytest.raises(Misconfigured, match=r"not a signed one|did not sign|does not know the key"):
            call(ask(server, port=forger.port))
        thread.join(10)
    forger.server.close()


def test_nobody_there_is_unreachable(server: Named) -> None:
    with pytest.raises(Unreachable, match="refused"):
        ask(server, port=free_port()).read()


def test_racers_are_eight() -> None:
    assert len(RACERS) == 8
