# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Atlas as it was recorded: a server that says the bytes that a real one said, and wants to hear those that it heard.

The challenge is the recorded one, so a client that knows the password must answer with the recorded scramble.

Time passes as it did then, "speed" times as fast. Of the looks that follow each other in a recording, a client that looks
more often or less often sees what a look at that time has seen: a state that changed after 1.5 s changes after 1.5 s. Only
the first look after a change is always the one that was recorded first, however slow this machine is.
At speed 0 there is no time: every command is answered by the one that was recorded at its place.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

DATA = Path(__file__).parent / "data"
QUIT = b"\x01\x00\x00\x00\x01"
ADDRESS = "127.0.0.1"


@dataclass(frozen=True)
class Exchange:
    """What the client said at a time, in seconds, and what it was answered. closes: the server hung up then."""

    asked: bytes
    answers: tuple[bytes, ...]
    at: float
    took: float
    closes: bool = False

    @property
    def command(self) -> str:
        return self.asked[5:].decode()

    @property
    def look(self) -> bool:
        return self.command.upper().startswith("SELECT")


@dataclass(frozen=True)
class Transcript:
    """One recorded connection, or one put together of several."""

    greeting: tuple[bytes, ...]
    login: Exchange | None
    commands: tuple[Exchange, ...]
    hangs_up: bool = False

    def then(self, *more: Exchange) -> Transcript:
        return replace(self, commands=(*self.commands, *more))

    def only(self, *commands: Exchange) -> Transcript:
        return replace(self, commands=commands)


def recorded(name: str) -> Transcript:
    events = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))["events"]
    greeting: list[bytes] = []
    exchanges: list[Exchange] = []
    hangs_up = False
    for event in events:
        data = bytes.fromhex(event.get("hex", ""))
        if event.get("dir") == "c" and data:
            exchanges.append(Exchange(data, (), event["t"], 0))
        elif event.get("dir") == "s" and not exchanges:
            greeting += [data] if data else []
            hangs_up = hangs_up or bool(event.get("eof"))
        elif event.get("dir") == "s":
            last = exchanges[-1]
            if data:
                exchanges[-1] = replace(last, answers=(*last.answers, data), took=last.took or event["t"] - last.at)
            else:
                exchanges[-1] = replace(last, closes=True)
    if len(exchanges) > 1 and exchanges[-1].asked == QUIT and exchanges[-1].closes and not exchanges[-1].answers:
        exchanges[-2] = replace(exchanges[-2], closes=True)
    talk = [exchange for exchange in exchanges if exchange.asked != QUIT]
    return Transcript(tuple(greeting), talk[0] if talk else None, tuple(talk[1:]), hangs_up)


@dataclass
class Faults:
    """What happens on the way. cut_after: bytes said before the server hangs up. drip: seconds before every byte.

    acts: by command, what the server does before it answers.
    """

    cut_after: int | None = None
    drip: float = 0
    falls_silent_at: str = ""
    hangs_up_at: str = ""
    acts: Mapping[str, Callable[[], None]] = field(default_factory=dict)


class Story:
    """Where in the recorded commands the clients are. Several connections, one after the other, go on in the same story."""

    def __init__(self, commands: Sequence[Exchange], speed: float) -> None:
        self._commands = commands
        self._speed = speed
        self._next = 0
        self._began: tuple[float, float] | None = None

    def answer(self, asked: bytes) -> Exchange | None:
        """None: this was not asked then."""
        now = time.monotonic()
        first = self._next
        if not self._speed:
            self._next += 1
            return self._commands[first] if self._commands[first : first + 1] and self._commands[first].asked == asked else None
        past = self._commands[first - 1] if first else None
        while first < len(self._commands) and self._commands[first].asked != asked and self._commands[first].look:
            first += 1  # recorded looks that nobody takes now
        if first == len(self._commands) or self._commands[first].asked != asked:
            return past if past and past.look and past.asked == asked else None
        chosen = first
        if self._commands[first].look:
            wall, then = self._began or (now, self._commands[first].at)
            due = [
                number
                for number in range(first, len(self._commands))
                if all(other.asked == asked for other in self._commands[first : number + 1])
                and self._commands[number].at - then <= (now - wall) * self._speed + 0.001
            ]
            if not due and past and past.asked == asked:
                return past  # not yet
            chosen = due[-1] if due and past and past.look else first
        if self._began is None or not self._commands[chosen].look:
            self._began = (now, self._commands[chosen].at)
        self._next = chosen + 1
        return self._commands[chosen]

    @property
    def left(self) -> list[str]:
        return [exchange.command for exchange in self._commands[self._next :] if not exchange.look]


class Server:
    """Listens on a port of this machine. heard: the commands, in order. wrong: what was never recorded."""

    def __init__(self, transcript: Transcript, speed: float, faults: Faults, quits: bool, any_login: bool) -> None:
        self.transcript = transcript
        self._quits = quits
        self._any_login = any_login
        self.faults = faults
        self.story = Story(transcript.commands, speed)
        self.heard: list[str] = []
        self.wrong: list[str] = []
        self.logins = 0
        self._speed = speed
        self._said = 0
        self._open: list[socket.socket] = []
        self._listening = socket.create_server((ADDRESS, 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        for line in (self._listening, *self._open):
            with _quiet():
                line.shutdown(socket.SHUT_RDWR)
            line.close()

    def _serve(self) -> None:
        while True:
            try:
                line, _address = self._listening.accept()
            except OSError:
                return
            self._open.append(line)
            self._said = 0
            threading.Thread(target=self._talk, args=(line,), daemon=True).start()

    def _talk(self, line: socket.socket) -> None:
        with _quiet(), line:
            self._say(line, self.transcript.greeting)
            login = self.transcript.login
            if self.transcript.hangs_up or login is None:
                self._heard(line)
                return
            asked = self._heard(line)
            if asked is None:
                return
            self.logins += 1
            if asked != login.asked and not self._any_login:
                self.wrong.append(f"login {asked!r}, recorded is {login.asked!r}")
                return
            self._say(line, login.answers, login.took)
            if login.closes:
                return
            while (asked := self._heard(line)) is not None and self._reply(line, asked):
                pass

    def _reply(self, line: socket.socket, asked: bytes) -> bool:
        if asked[4:] == QUIT[4:] and self._quits:
            return False
        if asked[4:] == QUIT[4:]:
            self.wrong.append("COM_QUIT, which Atlas refuses")
            return False
        command = asked[5:].decode("utf-8", "replace")
        self.heard.append(command)
        if self.faults.hangs_up_at and command.startswith(self.faults.hangs_up_at):
            return False
        if self.faults.falls_silent_at and command.startswith(self.faults.falls_silent_at):
            line.recv(1)
            return False
        exchange = self.story.answer(asked)
        if exchange is None:
            self.wrong.append(f"{command!r} was not said then")
            return False
        self.faults.acts.get(command, lambda: None)()
        self._say(line, exchange.answers, exchange.took)
        return not exchange.closes

    def _say(self, line: socket.socket, packets: Sequence[bytes], took: float = 0) -> None:
        time.sleep(took / self._speed if self._speed else 0)
        data = b"".join(packets)
        if self.faults.cut_after is not None:
            room = max(self.faults.cut_after - self._said, 0)
            if room < len(data):
                line.sendall(data[:room])
                raise OSError("cut")
        self._said += len(data)
        if self.faults.drip:
            for byte in data:
                time.sleep(self.faults.drip)
                line.sendall(bytes([byte]))
        else:
            line.sendall(data)

    @staticmethod
    def _heard(line: socket.socket) -> bytes | None:
        """One whole packet; None at the end."""
        data = b""
        while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:3], "little"):
            part = line.recv(65536)
            if not part:
                return None
            data += part
        return data


@contextmanager
def _quiet() -> Iterator[None]:
    """The other side may go at any time."""
    try:
        yield
    except OSError:
        return


@contextmanager
def replaying(
    transcript: Transcript, speed: float = 50, faults: Faults | None = None, *, quits: bool = False, any_login: bool = False
) -> Iterator[Server]:
    """A server that must hear nothing that was never said. quits: COM_QUIT is understood, as it is where applications connect."""
    server = Server(transcript, speed, faults or Faults(), quits, any_login)
    try:
        yield server
        assert server.wrong == []
    finally:
        server.close()


@contextmanager
def somebody(says: bytes, *, hangs_up: bool = False) -> Iterator[int]:
    """Somebody else on a port: says something at once, and then listens for ever, or hangs up."""
    listening = socket.create_server((ADDRESS, 0))
    lines: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                line, _address = listening.accept()
            except OSError:
                return
            lines.append(line)
            with _quiet():
                line.sendall(says)
            if hangs_up:
                line.close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        for line in (listening, *lines):
            with _quiet():
                line.shutdown(socket.SHUT_RDWR)
            line.close()


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server((ADDRESS, 0)) as line:
        port: int = line.getsockname()[1]
        return port
