# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways a notification leaves the node: mail, webhook, exec. Each send() blocks, and ends within its timeout.

Secrets stay in files and are read when they are needed: no representation, log line or argument list has them.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import ipaddress
import json
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import threading
import time
import typing as t
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from urllib.parse import urlsplit

from . import reading

Message = t.Mapping[str, t.Any]
RETRY_STATUS = (408, 425, 429)
LONGEST_SECRET = 4096


class ConfigError(Exception):
    """A channel cannot be made of this; the text says which key and why."""


class ChannelError(Exception):
    """It was not taken. final: trying again would not help."""

    def __init__(self, text: str, final: bool = False) -> None:
        super().__init__(text)
        self.final = final


class Channel(t.Protocol):
    """One way out."""

    @property
    def name(self) -> str: ...

    def send(self, message: Message) -> None:
        """Deliver. Blocks. Raises ChannelError, whose text holds no secret."""


def _secret(path: str) -> str:
    """The first line of a file. Raises ChannelError."""
    try:
        with open(path, encoding="utf-8") as handle:
            secret = handle.readline(LONGEST_SECRET).rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise ChannelError(f"cannot read {path}: {getattr(error, 'strerror', None) or type(error).__name__}") from None
    if not secret:
        raise ChannelError(f"{path} is empty")
    return secret


def _told(error: BaseException, *secrets: str) -> str:
    """What an error says, on one line, without the secrets: a server may repeat what it was sent."""
    words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    for secret in sorted((secret for secret in secrets if secret), key=len, reverse=True):
        words = words.replace(secret, "***")
    return reading.printable(words[:300])


class _Deadline:
    """Cuts a connection after so many seconds in all: a timeout of the socket only bounds each single wait."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds
        self._guards: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self.passed = False

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_unused: object) -> None:
        self._timer.cancel()
        for guard in self._guards:
            guard.close()

    @property
    def left(self) -> float:
        return max(0.05, self._ends - time.monotonic())

    def connect(self, host: str, port: int) -> socket.socket:
        """A connection that is cut at the deadline. Raises OSError. Only the resolver keeps its own time."""
        sock = self._connect(host, port)
        sock.settimeout(self.left)
        self._guards.append(sock.dup())
        if self.passed:
            self._cut()
        return sock

    def _connect(self, host: str, port: int) -> socket.socket:
        problem: OSError | None = None
        for family, kind, protocol, _name, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            sock = socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)
            try:
                sock.settimeout(self.left)
                sock.connect(address)
            except OSError as error:
                sock.close()
                problem = error
            else:
                return sock
        raise problem or OSError(f"{host} has no address")

    def _cut(self) -> None:
        self.passed = True
        for guard in self._guards:
            with contextlib.suppress(OSError):
                guard.shutdown(socket.SHUT_RDWR)


def _context(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise ChannelError(f"cannot read {ca_file}: {error.strerror}") from None


class _Smtp(smtplib.SMTP):
    """An SMTP connection below a deadline; with a context it is TLS from the first byte."""

    def __init__(self, deadline: _Deadline, context: ssl.SSLContext | None, host: str, port: int) -> None:
        self._deadline, self._context = deadline, context
        # The own name is given: asking the resolver for it could hang.
        super().__init__(host, port, local_hostname="localhost", timeout=deadline.left)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002
        sock = self._deadline.connect(host, port)
        return self._context.wrap_socket(sock, server_hostname=host) if self._context else sock


@dataclass(frozen=True)
class Mail:
    """SMTP. security: none, starttls (refused if the server does not offer it) or tls."""

    name: str
    host: str
    sender: str
    recipients: tuple[str, ...]
    port: int = 25
    security: str = "none"
    user: str = ""
    password_file: str = ""
    ca_file: str = ""
    timeout: float = 20.0

    def send(self, message: Message) -> None:
        password = _secret(self.password_file) if self.password_file else ""
        mail = mail_of(message, self.sender, self.recipients)
        encrypted = _context(self.ca_file) if self.security != "none" else None
        with _Deadline(self.timeout) as deadline:
            try:
                smtp = _Smtp(deadline, encrypted if self.security == "tls" else None, self.host, self.port)
                try:
                    if self.security == "starttls":
                        smtp.starttls(context=encrypted)
                    if self.user:
                        smtp.login(self.user, password)
                    smtp.send_message(mail)
                    # It is taken. Whatever happens now must not have it sent a second time.
                    with contextlib.suppress(OSError):
                        smtp.quit()
                finally:
                    smtp.close()
            except smtplib.SMTPRecipientsRefused as error:
                codes = [code for code, _answer in error.recipients.values()]
                raise ChannelError(_told(error, password), final=all(code >= 500 for code in codes)) from None
            except (OSError, ValueError) as error:
                refused = isinstance(error, (smtplib.SMTPDataError, smtplib.SMTPSenderRefused)) and error.smtp_code >= 500
                words = f"not taken within {self.timeout:g} s" if deadline.passed else _told(error, password)
                raise ChannelError(words, final=refused) from None


SUBJECTS = {"problem": "", "recovered": "OVER: ", "info": ""}


def mail_of(message: Message, sender: str, recipients: t.Iterable[str]) -> EmailMessage:
    """The mail that a message makes. Messages of one key are one thread."""
    state, severity = reading.text(message, "state"), reading.text(message, "severity")
    summary = reading.printable(reading.text(message, "summary"))
    mail = EmailMessage()
    mail["Subject"] = f"[tandem] {SUBJECTS.get(state, '')}{summary}"[:200]
    mail["From"] = sender
    mail["To"] = ", ".join(recipients)
    mail["Date"] = formatdate(reading.number(message, "unix"))
    thread = hashlib.sha256(reading.text(message, "key").encode("utf-8", "replace")).hexdigest()[:16]
    mail["Message-ID"] = f"<{reading.text(message, 'id')}@tandem.invalid>"
    mail["References"] = f"<{thread}@tandem.invalid>"
    mail["Auto-Submitted"] = "auto-generated"
    if severity == "critical" and state == "problem":
        mail["Importance"] = "high"
    repeats = reading.number(message, "repeats") or 0
    lines = [
        summary,
        "",
        f"What:     {reading.text(message, 'kind')}, {severity}" + (", over now" if state == "recovered" else ""),
        f"Node:     {reading.text(message, 'node')}",
        f"When:     {reading.clock(reading.moment(message, 'unix'))} UTC",
        f"Why:      {reading.text(message, 'reason') or 'no reason is given'}",
        *(f"Seen:     {key}: {reading.text(value)}" for key, value in reading.mapping(message, "details").items()),
        *([f"Repeated: {repeats:.0f} more times that were not sent"] if repeats else []),
        "",
        f"Sent by {reading.text(message, 'sender')}. Ask the node for more: tandem why",
    ]
    body = "\n".join(reading.printable(line) for line in lines)
    mail.set_content(body.encode("utf-8", "replace").decode() + "\n")
    return mail


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """What X-Tandem-Signature says: HMAC-SHA256 of timestamp, dot, body."""
    return "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Webhook:
    """A POST of JSON. The URL may be a secret: then it is in url_file. Proxies of the environment and redirects are not followed."""

    name: str
    url: str = ""
    url_file: str = ""
    secret_file: str = ""
    ca_file: str = ""
    timeout: float = 10.0

    def __repr__(self) -> str:
        return f"Webhook(name={self.name!r})"

    def send(self, message: Message) -> None:
        url = self.url or _secret(self.url_file)
        secret = _secret(self.secret_file) if self.secret_file else ""
        try:
            scheme, host, port, target = split_url(url)
        except ConfigError as error:
            raise ChannelError(str(error)) from None
        body = json.dumps(dict(message), sort_keys=True, default=str).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "tandem", "Connection": "close"}
        if secret:
            stamp = str(int(time.time()))
            headers |= {"X-Tandem-Timestamp": stamp, "X-Tandem-Signature": signature(secret.encode(), stamp, body)}
        context = _context(self.ca_file) if scheme == "https" else None
        with _Deadline(self.timeout) as deadline:
            connection = http.client.HTTPConnection(host, port)
            if context:
                connection.default_port = 443  # what the Host header need not say
            try:
                sock = deadline.connect(host, port)
                connection.sock = context.wrap_socket(sock, server_hostname=host) if context else sock
                connection.request("POST", target, body, headers)
                status = connection.getresponse().status
            except (OSError, http.client.HTTPException, ValueError) as error:
                words = f"no answer within {self.timeout:g} s" if deadline.passed else _told(error, secret, url, target)
                raise ChannelError(words) from None
            finally:
                connection.close()
        if not 200 <= status <= 299:
            raise ChannelError(f"answers {status}", final=status < 500 and status not in RETRY_STATUS)


def split_url(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port, and what is asked for. Raises ConfigError without repeating the URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError("the URL cannot be read") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("the URL must begin with https:// or http:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise ConfigError("the URL holds a login: use secret_file, or url_file with a secret path")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError("the URL holds characters that it may not")
    return parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80), target


@dataclass(frozen=True)
class Exec:
    """A program, with the message as JSON on its standard input. Its output goes where the agent's goes: to the journal."""

    name: str
    argv: tuple[str, ...]
    timeout: float = 30.0

    def send(self, message: Message) -> None:
        body = json.dumps(dict(message), sort_keys=True, default=str).encode() + b"\n"
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        try:
            process = subprocess.Popen(
                self.argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment, cwd="/", start_new_session=True, close_fds=True
            )
        except (OSError, ValueError) as error:
            raise ChannelError(f"{self.argv[0]}: {getattr(error, 'strerror', None) or type(error).__name__}") from None
        # Where memory runs out it goes first, not the agent.
        with contextlib.suppress(OSError), open(f"/proc/{process.pid}/oom_score_adj", "w", encoding="ascii") as score:
            score.write("1000")
        try:
            process.communicate(body, self.timeout)
        except subprocess.TimeoutExpired:
            raise ChannelError(f"{self.argv[0]}: still ran after {self.timeout:g} s, killed") from None
        finally:
            # The leader is not waited for yet, so the number of its group is nobody else's.
            if process.returncode is None:
                with contextlib.suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
        if process.returncode:
            how = f"killed by signal {-process.returncode}" if process.returncode < 0 else f"exit code {process.returncode}"
            raise ChannelError(f"{self.argv[0]}: {how}")


# Configuration.

_KEYS: t.Mapping[str, t.Mapping[str, type]] = {
    "mail": {
        "host": str,
        "port": int,
        "security": str,
        "user": str,
        "password_file": str,
        "sender": str,
        "recipients": list,
        "ca_file": str,
        "timeout": float,
    },
    "webhook": {"url": str, "url_file": str, "secret_file": str, "ca_file": str, "timeout": float},
    "exec": {"argv": list, "timeout": float},
}


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _values(kind: str, raw: t.Mapping[str, t.Any], where: str) -> dict[str, t.Any]:
    """The keys of one channel, checked. Values are never repeated: one may be a secret in the wrong place."""
    values: dict[str, t.Any] = {}
    for key, value in raw.items():
        if key in ("type", "name") or value is None:
            continue
        wanted = _KEYS[kind].get(key)
        if wanted is None:
            raise ConfigError(f"{where}: no such key {key!r}; there are {', '.join(_KEYS[kind])}")
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise ConfigError(f"{where}.{key}: {wanted.__name__} needed")
        if wanted is list and (not raw[key] or not all(isinstance(item, str) and item for item in raw[key])):
            raise ConfigError(f"{where}.{key}: a list of texts needed, at least one")
        values[key] = tuple(raw[key]) if wanted is list else value
    if not 0.1 <= values.get("timeout", 10.0) <= 300:
        raise ConfigError(f"{where}.timeout: between 0.1 and 300 seconds needed")
    return values


def _mail(name: str, values: dict[str, t.Any], where: str) -> Mail:
    for key in ("host", "sender", "recipients"):
        if not values.get(key):
            raise ConfigError(f"{where}.{key} is missing")
    security = values.get("security", "none")
    if security not in ("none", "starttls", "tls"):
        raise ConfigError(f"{where}.security: none, starttls or tls needed")
    values.setdefault("port", {"none": 25, "starttls": 587, "tls": 465}[security])
    if bool(values.get("user")) != bool(values.get("password_file")):
        raise ConfigError(f"{where}: user and password_file belong together")
    if values.get("user") and security == "none" and not _loopback(values["host"]):
        raise ConfigError(f"{where}.security: none would send the password in the open; use starttls or tls")
    for address in (values["sender"], *values["recipients"]):
        if not address.isprintable() or not address.isascii() or address.count("@") != 1 or any(sign in address for sign in " ,<>\""):
            raise ConfigError(f"{where}: {address!r} is no address like name@example.com")
    return Mail(name, **values)


def _webhook(name: str, values: dict[str, t.Any], where: str) -> Webhook:
    if bool(values.get("url")) == bool(values.get("url_file")):
        raise ConfigError(f"{where}: either url or url_file is needed")
    if values.get("url"):
        try:
            split_url(values["url"])
        except ConfigError as error:
            raise ConfigError(f"{where}.url: {error}") from None
    return Webhook(name, **values)


def _exec(name: str, values: dict[str, t.Any], where: str) -> Exec:
    if not values.get("argv") or not values["argv"][0].startswith("/"):
        raise ConfigError(f"{where}.argv: the program's full path is needed")
    return Exec(name, **values)


def channels(raw: t.Any) -> list[Channel]:
    """Channels of a configuration: a list of mappings with type, name (default: the type) and what the type has.

    Raises ConfigError.
    """
    if not isinstance(raw, list):
        raise ConfigError("notifications: a list needed")
    made: list[Channel] = []
    for index, item in enumerate(raw):
        where = f"notifications[{index}]"
        if not isinstance(item, t.Mapping) or item.get("type") not in _KEYS:
            raise ConfigError(f"{where}.type: one of {', '.join(_KEYS)} needed")
        kind = item["type"]
        name = item.get("name", kind)
        if not isinstance(name, str) or not name.replace("-", "").replace("_", "").isalnum():
            raise ConfigError(f"{where}.name: letters, digits, - and _ needed")
        if any(channel.name == name for channel in made):
            raise ConfigError(f"{where}.name: {name} is there twice")
        values = _values(kind, item, where)
        makers: t.Mapping[str, t.Callable[[str, dict[str, t.Any], str], Channel]] = {"mail": _mail, "webhook": _webhook, "exec": _exec}
        made.append(makers[kind](name, values, where))
    return made
