# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody is told: once, by one node, whatever a channel does. Servers and programs are real ones."""

from __future__ import annotations

import email
import email.policy
import http.server
import json
import logging
import os
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.tandem.lemp.plugins.module_utils.agent import alarms, notify
from ansible_collections.tandem.lemp.plugins.module_utils.agent.channels import (
    ChannelError,
    ConfigError,
    Exec,
    Mail,
    Webhook,
    channels,
    signature,
)
from ansible_collections.tandem.lemp.plugins.module_utils.agent.notify import Event, Gate, Notifier, message_of, speaks

PASSWORD = "hunter2-hunter2"


def wait_for(condition, seconds=8.0):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.005)


def event(kind="node_dead", **values):
    return Event(**{"node": "node-a", "kind": kind, "summary": "node-a is dead", "unix": 1_794_938_462.0, **values})


def message(**values):
    return message_of(event(**values), "node-b", 0)


# Who speaks.


def test_who_lives_speaks_for_itself_and_the_peer_for_the_dead() -> None:
    assert speaks(event(), "node-a", True)
    assert speaks(event(), "node-a", False)
    assert not speaks(event(), "node-b", True)
    assert speaks(event(), "node-b", False)
    assert not speaks(event(), "node-b", None)  # nobody knows whether it is dead


@given(st.sampled_from(["node-a", "node-b"]), st.booleans(), st.booleans())
def test_exactly_one_speaks_while_one_lives(about, a_lives, b_lives) -> None:
    speakers = [a_lives and speaks(event(node=about), "node-a", b_lives), b_lives and speaks(event(node=about), "node-b", a_lives)]
    assert sum(speakers) == (1 if a_lives or b_lives else 0)


# Once, and no flood.


def test_the_same_within_the_window_is_counted_and_the_end_says_how_many() -> None:
    gate = Gate(window=100)
    assert gate.offer(event(), 0) == [(event(), 0)]
    for second in range(1, 6):
        assert gate.offer(event(unix=float(second)), second) == []
    over = event(state="recovered")
    assert gate.offer(over, 10) == [(over, 5)]
    assert gate.offer(over, 11) == []
    again = event(unix=12.0)
    assert gate.offer(again, 12) == [(again, 0)]  # new trouble is told, although the window is not over
    assert gate.repeats == 6


def test_trouble_that_lasts_is_told_again_after_the_window() -> None:
    gate = Gate(window=100)
    gate.offer(event(), 0)
    gate.offer(event(), 50)
    assert gate.offer(event(), 101) == [(event(), 1)]
    gate.offer(event(), 102)
    over = event(state="recovered")
    assert gate.offer(over, 103) == [(over, 2)]


def test_other_keys_are_not_mixed_up() -> None:
    gate = Gate()
    first, second = event(key="disk//"), event(key="disk//var")
    assert gate.offer(first, 0) == [(first, 0)]
    assert gate.offer(second, 0) == [(second, 0)]


def test_a_flood_is_held_back_and_its_last_states_are_sent_later() -> None:
    gate = Gate(burst=4, refill=10)
    sent = [made for n in range(20) for made in gate.offer(event(f"kind{n}"), 0)]
    assert len(sent) == 1  # three are kept for what is critical
    critical = event("dead", severity="critical")
    assert gate.offer(critical, 0) == [(critical, 0)]
    over = event("kind7", state="recovered")
    assert gate.offer(over, 1) == []
    assert gate.held == 19
    later = [made for second in range(2, 400) for made in gate.due(second)]
    assert [made.kind for made, _n in later] == [f"kind{n}" for n in range(1, 20) if n != 7] + ["kind7"]
    assert later[-1][0].state == "recovered"  # the problem itself was never sent, but counted
    assert later[-1][1] == 1


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["problem", "recovered"]), st.floats(0, 30)), max_size=60))
def test_the_last_state_of_everything_is_always_told_in_the_end(steps) -> None:
    gate, now, told, said = Gate(window=20, burst=4, refill=5), 0.0, {}, {}
    count = 0
    for number, (kind, state, pause) in enumerate(steps):
        now += pause
        made = event(str(kind), state=state, unix=float(number))
        said[str(kind)] = state
        sent = gate.offer(made, now)
        count += len(sent)
        told.update({one.kind: one.state for one, _n in sent})
    for _turn in range(40):
        now += 5
        sent = gate.due(now)
        count += len(sent)
        told.update({one.kind: one.state for one, _n in sent})
    assert told == said
    assert count + gate.repeats + gate.dropped == len(steps)
    assert gate.held == 0


def test_memory_is_bounded_and_the_critical_stays() -> None:
    gate = Gate(burst=1, refill=1e9)
    gate.offer(event("first", severity="critical"), 0)
    gate.offer(event("second", severity="critical"), 0)
    for number in range(3000):
        gate.offer(event(str(number)), 0)
    assert gate.held <= notify.HELD
    assert len(gate._seen) <= notify.KEYS + 1
    assert gate.dropped > 2000
    assert [made.kind for made, _n in gate.due(2e9)] == ["second"]


def test_alarms_become_events_when_they_come_and_go() -> None:
    assert notify.alarm_events("node-a", ["alone"], ["alone"]) == []
    over, new = sorted(notify.alarm_events("node-a", ["alone"], ["both_open"], "seen both", unix=5.0), key=lambda made: made.severity, reverse=True)
    assert (new.state, new.severity, new.summary, new.reason) == ("problem", "critical", "node-a: both databases take writes", "seen both")
    assert (over.state, over.severity, over.topic, over.reason) == ("recovered", "warning", "node-a/alone", "")
    assert alarms.described("some_thing") == ("warning", "some thing")
    gate = Gate()
    assert [n for made in (new, new, *notify.alarm_events("node-a", ["both_open"], [], unix=9.0)) for _event, n in gate.offer(made, 0)] == [0, 1]


# Channels that are not real: queue, retry, survival.


class Fake:
    def __init__(self, name="fake", fail=0, final=False) -> None:
        self.name, self.fail, self.final = name, fail, final
        self.taken: list = []
        self.tries = 0
        self.go, self.asked = threading.Event(), threading.Event()
        self.go.set()

    def send(self, message) -> None:
        self.asked.set()
        self.go.wait(10)
        self.tries += 1
        if self.tries <= self.fail:
            raise ChannelError(f"no {self.tries}", self.final)
        self.taken.append(message)


def notifier(*ways, **options):
    return Notifier("node-b", ways, **{"delay": lambda attempt: 0.01, **options})


def test_one_that_fails_is_tried_again_and_another_is_not_delayed() -> None:
    bad, good = Fake("bad", fail=3), Fake("good")
    bad.go.clear()
    told = notifier(bad, good)
    assert told.submit(event(), False)
    wait_for(lambda: good.taken)  # while the other one hangs
    assert told.status()["queued"] == {"bad": 1, "good": 0}
    bad.go.set()
    wait_for(lambda: told.status()["sent"] == {"bad": 1, "good": 1})
    assert bad.tries == 4
    assert bad.taken == good.taken
    told.close()


def test_what_is_not_ours_to_tell_is_not_told() -> None:
    way = Fake()
    told = notifier(way)
    assert not told.submit(event(), True)
    assert told.submit(event("other"), False)
    wait_for(lambda: way.taken)
    assert [made["kind"] for made in way.taken] == ["other"]
    told.close()


def test_it_gives_up_in_the_end() -> None:
    never, final = Fake("never", fail=10**9), Fake("final", fail=1, final=True)
    told = notifier(never, final, give_up=1.5)  # many tries, also on a busy machine
    told.submit(event(), False)
    wait_for(lambda: told.status()["failed"] == {"never": 1, "final": 1})
    assert final.tries == 1
    assert never.tries > 1
    told.close()


def test_a_fault_of_a_channel_does_not_end_its_thread(caplog) -> None:
    way = Fake()
    way.send = lambda message: (_turn for _turn in ()).throw(RuntimeError(PASSWORD))
    told = notifier(way, give_up=0.0)
    told.submit(event("one"), False)
    told.submit(event("two"), False)
    wait_for(lambda: told.status()["failed"] == {"fake": 2})
    assert PASSWORD not in caplog.text
    assert "RuntimeError" in caplog.text
    told.close()


def test_a_queue_is_bounded_and_keeps_the_critical(monkeypatch) -> None:
    monkeypatch.setattr(notify, "QUEUE", 3)
    way = Fake()
    way.go.clear()
    told = notifier(way, gate=Gate(burst=100))
    told.submit(event("running"), False)
    wait_for(lambda: told._workers["fake"]._busy)
    told.submit(event("critical", severity="critical"), False)
    for number in range(5):
        told.submit(event(str(number)), False)
    assert told.status()["queued"] == {"fake": 4}
    way.go.set()
    wait_for(lambda: len(way.taken) == 4)
    assert [made["kind"] for made in way.taken] == ["running", "critical", "3", "4"]
    assert told.status()["failed"] == {"fake": 3}
    told.close()


def test_closing_tries_once_more_and_does_not_wait_for_ever() -> None:
    way, stuck = Fake("way", fail=1), Fake("stuck")
    stuck.go.clear()
    told = Notifier("node-b", [way, stuck], delay=lambda attempt: 1000.0)
    told.submit(event(), False)
    wait_for(lambda: way.tries == 1)
    began = time.monotonic()
    told.close(0.3)
    assert time.monotonic() - began < 10
    wait_for(lambda: len(way.taken) == 1)
    stuck.go.set()


def test_what_fails_while_it_is_closed_gets_its_one_more_try_too() -> None:
    way = Fake("way", fail=1)
    way.go.clear()
    told = Notifier("node-b", [way], delay=lambda attempt: 1000.0)
    told.submit(event(), False)
    assert way.asked.wait(8)
    told.close(0)
    way.go.set()
    wait_for(lambda: len(way.taken) == 1)


def test_held_back_messages_go_with_a_tick() -> None:
    way, now = Fake(), [0.0]
    told = notifier(way, gate=Gate(burst=1, refill=10), clock=lambda: now[0])
    told.submit(event("one"), False)
    told.submit(event("two"), False)
    told.tick()
    assert told.status()["held"] == 1
    now[0] = 11.0
    told.tick()
    wait_for(lambda: len(way.taken) == 2)
    told.close()


def test_the_wait_between_tries_grows_and_is_bounded() -> None:
    assert [notify.backoff(attempt) for attempt in (1, 2, 3, 9, 10, 10**6)] == [1, 2, 4, 256, 300, 300]


# SMTP.


class Smtp(socketserver.StreamRequestHandler):
    """What a mail server says; server.behaviour changes it."""

    timeout = 10

    def say(self, line) -> None:
        self.wfile.write(line.encode() + b"\r\n")

    def handle(self) -> None:
        server = self.server
        behaviour = server.behaviour
        if behaviour == "silent":
            server.release.wait(10)
            return
        if behaviour == "drip":  # never silent for long, never done
            while not server.release.wait(0.05):
                try:
                    self.wfile.write(b"2")
                except OSError:
                    return
            return
        self.say("220 test")
        while line := self.rfile.readline().decode().strip():
            verb = line.split()[0].upper()
            server.verbs.append(verb)
            if verb == "EHLO":
                self.say("250-test")
                if server.context and not isinstance(self.connection, ssl.SSLSocket):
                    self.say("250-STARTTLS")
                self.say("250 AUTH PLAIN")
            elif verb == "STARTTLS":
                self.say("220 go")
                self.connection = server.context.wrap_socket(self.connection, server_side=True)
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
            elif verb == "AUTH":
                server.logins.append(line)
                self.say(f"535 no, {PASSWORD} is wrong ({line})" if behaviour == "auth" else "235 yes")
            elif verb == "RCPT" and behaviour in ("450", "550"):
                self.say(f"{behaviour} not this one")
            elif verb == "DATA":
                self.say("354 go on")
                content = b""
                while (row := self.rfile.readline()) != b".\r\n":
                    content += row
                server.mails.append(email.message_from_bytes(content, policy=email.policy.default))
                self.say("250 taken")
            elif verb == "QUIT" and behaviour == "quit":
                return
            else:
                self.say("250 ok")
            if verb == "QUIT":
                return


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    behaviour = ""
    context = None

    def __init__(self, handler) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.port = self.server_address[1]
        self.mails: list = []
        self.logins: list = []
        self.verbs: list = []
        self.requests: list = []
        self.release = threading.Event()

    def handle_error(self, *_arguments) -> None:
        """Clients that go away are what is tested."""


def running(handler):
    server = Server(handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def smtp():
    yield from running(Smtp)


@pytest.fixture
def password(tmp_path):
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    return str(path)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", *names, *files]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    return context, str(directory / "cert.pem")


def mail(server, **values):
    return Mail(**{"name": "mail", "host": "127.0.0.1", "port": server.port, "sender": "t@example.com", "recipients": ("ops@example.com",), **values})


def test_a_mail(smtp) -> None:
    made = message_of(event(state="recovered", reason="grüße\nFrom: x", summary="node-a\r\nBcc: evil@example.com", details={"lost": 0}), "node-b", 5)
    mail(smtp).send(made)
    (got,) = smtp.mails
    assert got["Subject"] == "[tandem] OVER: node-a  Bcc: evil@example.com"
    assert got["Bcc"] is None
    assert got["To"] == "ops@example.com"
    assert got["Auto-Submitted"] == "auto-generated"
    assert got["Date"].datetime.timestamp() == 1_794_938_462
    body = got.get_content()
    for line in ("Why:      grüße From: x", "Seen:     lost: 0", "Repeated: 5 more times that were not sent", "When:     2026-11-17 18:01:02 UTC"):
        assert line in body.splitlines()
    assert "Sent by node-b." in body


def test_beginning_and_end_are_one_thread(smtp) -> None:
    mail(smtp).send(message())
    mail(smtp).send(message(state="recovered"))
    first, last = smtp.mails
    assert first["References"] == last["References"]
    assert first["Message-ID"] != last["Message-ID"]


def test_starttls_and_login(smtp, certificate, password) -> None:
    smtp.context, trusted = certificate
    mail(smtp, security="starttls", user="u", password_file=password, ca_file=trusted).send(message())
    assert len(smtp.mails) == len(smtp.logins) == 1
    assert smtp.verbs.index("STARTTLS") < smtp.verbs.index("AUTH")


def test_a_certificate_nobody_trusts_gets_no_password(smtp, certificate, password) -> None:
    smtp.context = certificate[0]
    with pytest.raises(ChannelError, match="certificate verify failed"):
        mail(smtp, security="starttls", user="u", password_file=password).send(message())
    assert smtp.logins == []


def test_no_starttls_no_mail(smtp, password) -> None:
    with pytest.raises(ChannelError, match="STARTTLS"):
        mail(smtp, security="starttls", user="u", password_file=password).send(message())
    assert smtp.logins == smtp.mails == []


def test_a_server_that_repeats_the_password_does_not_bring_it_into_the_log(smtp, password, caplog) -> None:
    smtp.behaviour = "auth"
    way = mail(smtp, user="u", password_file=password)
    told = notifier(way, give_up=0.0)
    with caplog.at_level(logging.DEBUG):
        told.submit(event(), False)
        wait_for(lambda: told.status()["failed"] == {"mail": 1})
    told.close()
    assert "535" in caplog.text
    assert PASSWORD not in caplog.text + repr(way)


@pytest.mark.parametrize(("code", "final"), [("450", False), ("550", True)])
def test_a_recipient_that_is_refused(smtp, code, final) -> None:
    smtp.behaviour = code
    with pytest.raises(ChannelError, match=code) as caught:
        mail(smtp).send(message())
    assert caught.value.final is final


def test_a_taken_mail_is_not_sent_twice_when_the_good_bye_fails(smtp) -> None:
    smtp.behaviour = "quit"
    mail(smtp).send(message())
    assert len(smtp.mails) == 1


@pytest.mark.parametrize("behaviour", ["silent", "drip"])
def test_a_mail_server_that_never_answers(smtp, behaviour) -> None:
    smtp.behaviour = behaviour
    began = time.monotonic()
    with pytest.raises(ChannelError):
        mail(smtp, timeout=0.3).send(message())
    assert time.monotonic() - began < 3


def test_a_missing_password_file() -> None:
    way = Mail("mail", "127.0.0.1", "a@b", ("c@d",), user="u", password_file="/nowhere/password")
    with pytest.raises(ChannelError, match="cannot read /nowhere/password: No such file"):
        way.send(message())


# Webhook.


class Http(http.server.BaseHTTPRequestHandler):
    """Answers what server.behaviour says."""

    timeout = 10

    def do_POST(self) -> None:
        server = self.server
        server.requests.append((self.path, dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
        if server.behaviour == "silent":
            server.release.wait(10)
            return
        if server.behaviour == "drip":
            self.wfile.write(b"HTTP/1.1 ")
            while not server.release.wait(0.05):
                try:
                    self.wfile.write(b"2")
                except OSError:
                    return
            return
        self.send_response(int(server.behaviour or 200))
        self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()

    def log_message(self, *_arguments) -> None:
        """Quiet."""


@pytest.fixture
def web():
    yield from running(Http)


def test_a_webhook_with_a_signature(web, password, monkeypatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")  # must not be asked
    Webhook("hook", url=f"http://127.0.0.1:{web.port}/in?x=1", secret_file=password).send(message())
    ((path, headers, body),) = web.requests
    assert path == "/in?x=1"
    assert json.loads(body) == json.loads(json.dumps(message()))
    assert headers["X-Tandem-Signature"] == signature(PASSWORD.encode(), headers["X-Tandem-Timestamp"], body)
    assert headers["X-Tandem-Signature"] != signature(b"other", headers["X-Tandem-Timestamp"], body)
    assert abs(int(headers["X-Tandem-Timestamp"]) - time.time()) < 60
    assert headers["Host"] == f"127.0.0.1:{web.port}"
    assert PASSWORD not in str(headers)


def test_the_documented_check_of_the_signature() -> None:
    import hashlib
    import hmac

    expected = hmac.new(b"key", b"17" + b"." + b"{}", hashlib.sha256).hexdigest()
    assert signature(b"key", "17", b"{}") == "sha256=" + expected


@pytest.mark.parametrize(("status", "final"), [("301", True), ("404", True), ("408", False), ("429", False), ("500", False), ("503", False)])
def test_answers_that_are_no(web, status, final) -> None:
    web.behaviour = status
    with pytest.raises(ChannelError, match=status) as caught:
        Webhook("hook", url=f"http://127.0.0.1:{web.port}/").send(message())
    assert caught.value.final is final
    assert len(web.requests) == 1


@pytest.mark.parametrize("behaviour", ["silent", "drip"])
def test_a_web_server_that_never_answers(web, behaviour) -> None:
    web.behaviour = behaviour
    began = time.monotonic()
    with pytest.raises(ChannelError, match=r"no answer within 0\.3 s|timed out"):
        Webhook("hook", url=f"http://127.0.0.1:{web.port}/", timeout=0.3).send(message())
    assert time.monotonic() - began < 3


def test_a_full_backlog() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        crowd = [socket.socket() for _n in range(3)]
        for sock in crowd:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        began = time.monotonic()
        with pytest.raises(ChannelError):
            Webhook("hook", url=f"http://127.0.0.1:{port}/", timeout=0.3).send(message())
        assert 0.25 < time.monotonic() - began < 3
        for sock in crowd:
            sock.close()


def test_https_and_its_certificate(web, certificate) -> None:
    context, trusted = certificate
    web.socket = context.wrap_socket(web.socket, server_side=True)
    url = f"https://localhost:{web.port}/"
    Webhook("hook", url=url, ca_file=trusted).send(message())
    assert len(web.requests) == 1
    with pytest.raises(ChannelError, match="certificate verify failed"):
        Webhook("hook", url=url).send(message())
    assert len(web.requests) == 1


def test_a_secret_url_is_nowhere_to_be_seen(tmp_path, caplog) -> None:
    path = tmp_path / "url"
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/{PASSWORD}", f"http://u:{PASSWORD}@127.0.0.1/", f"ftp://{PASSWORD}/", f"http://[{PASSWORD}", f"http://h/ {PASSWORD}"):
        path.write_text(url)
        way = Webhook("hook", url_file=str(path))
        told = notifier(way, give_up=0.0)
        told.submit(event(), False)
        wait_for(lambda told=told: told.status()["failed"] == {"hook": 1})
        told.close()
        assert PASSWORD not in repr(way) + repr(Webhook("hook", url=url))
    assert "hook" in caplog.text
    assert PASSWORD not in caplog.text


# A program.


def script(tmp_path, text):
    path = tmp_path / "script"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_program_gets_the_message_on_its_input(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/secret")
    out = tmp_path / "out"
    Exec("exec", (script(tmp_path, f'cat > {out}; env > {out}.env; echo "$1" > {out}.arg'), "an argument; true")).send(message())
    assert json.loads(out.read_text()) == json.loads(json.dumps(message()))
    assert "NOTIFY_SOCKET" not in (tmp_path / "out.env").read_text()
    assert (tmp_path / "out.arg").read_text() == "an argument; true\n"


def test_a_program_that_does_not_read(tmp_path) -> None:
    Exec("exec", (script(tmp_path, "exit 0"),)).send(message(details={str(n): "x" * 10_000 for n in range(50)}))


@pytest.mark.parametrize(("text", "words"), [("exit 3", "exit code 3"), ("kill -9 $$", "killed by signal 9")])
def test_a_program_that_fails(tmp_path, text, words) -> None:
    with pytest.raises(ChannelError, match=words) as caught:
        Exec("exec", (script(tmp_path, text),)).send(message())
    assert not caught.value.final


def test_a_program_that_is_missing() -> None:
    with pytest.raises(ChannelError, match="/nowhere/program: No such file"):
        Exec("exec", ("/nowhere/program",)).send(message())


def test_exec_is_ended_before_the_agent_where_memory_runs_out(tmp_path: Path) -> None:
    out = tmp_path / "score"
    Exec("exec", (script(tmp_path, f"cat > {out}.body; cat /proc/$$/oom_score_adj > {out}"),)).send(message())
    assert out.read_text(encoding="utf-8").strip() == "1000"


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path) -> None:
    pids = tmp_path / "pids"
    began = time.monotonic()
    with pytest.raises(ChannelError, match=r"still ran after 0\.5 s, killed"):
        Exec("exec", (script(tmp_path, f"sleep 60 & echo $! $$ > {pids}.new; mv {pids}.new {pids}; trap '' TERM; wait"),), timeout=0.5).send(message())
    assert time.monotonic() - began < 5
    child, leader = pids.read_text().split()

    def gone(pid):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as handle:
                return handle.read().rpartition(")")[2].split()[0] in "ZX"
        except OSError:
            return True

    wait_for(lambda: gone(child) and gone(leader))
    assert not os.path.exists(f"/proc/{leader}")  # the leader was waited for: no zombie of ours


# Configuration.


def test_a_configuration() -> None:
    made = channels(
        [
            {**MAIL, "security": "starttls", "user": "u", "password_file": "/p"},
            {"type": "webhook", "name": "pager", "url": "https://example.com/x", "timeout": 3},
            {"type": "exec", "argv": ["/usr/local/bin/tell", "me"]},
        ]
    )
    assert [way.name for way in made] == ["mail", "pager", "exec"]
    assert made[0].port == 587
    assert made[1].timeout == 3.0
    assert made[2].argv == ("/usr/local/bin/tell", "me")


MAIL = {"type": "mail", "host": "mx", "sender": "t@example.com", "recipients": ["a@example.com"]}


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({}, "a list needed"),
        (["x"], r"\[0\].type"),
        ([{"type": "pigeon"}], "mail, webhook, exec"),
        ([{"type": "exec"}], "full path"),
        ([{"type": "exec", "argv": ["relative"]}], "full path"),
        ([{"type": "exec", "argv": [1]}], "list of texts"),
        ([{"type": "exec", "argv": ["/a"], "timeout": 0}], "timeout: between"),
        ([{"type": "exec", "argv": ["/a"], "timeout": True}], "timeout: float needed"),
        ([{"type": "webhook"}], "either url or url_file"),
        ([{"type": "webhook", "url": f"https://u:{PASSWORD}@h/"}], "holds a login"),
        ([{"type": "webhook", "url": f"gopher://{PASSWORD}/"}], "must begin with"),
        ([{"type": "webhook", "url": "https://h/", "secret": PASSWORD}], "no such key 'secret'"),
        ([{"type": "webhook", "url": ["https://h/"]}], "url: str needed"),
        ([{**MAIL, "sender": "a@b\nBcc: c@d"}], "no address"),
        ([{**MAIL, "recipients": []}], "list of texts"),
        ([{**MAIL, "security": "ssl"}], "none, starttls or tls"),
        ([{**MAIL, "user": "u"}], "belong together"),
        ([{**MAIL, "user": "u", "password_file": "/p"}], "in the open"),
        ([MAIL, MAIL], "mail is there twice"),
        ([{**MAIL, "name": "a b"}], "name: letters"),
    ],
)
def test_a_configuration_that_is_refused(raw, words) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        channels(raw)
    assert PASSWORD not in str(caught.value)
