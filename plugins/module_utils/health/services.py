# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looks at nginx and php-fpm: one connection, one question, an answer in time or not."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import socket
import struct
import typing as t

from .config import Php, Web
from .model import Raw

CERTAIN = (errno.ECONNREFUSED, errno.ENOENT, errno.ECONNRESET, errno.EPIPE, errno.EADDRNOTAVAIL)
Look = tuple[Raw, str]


async def _ask(address: tuple[str, int], question: bytes, enough: int, timeout: float) -> bytes:
    """Send question, return at least enough bytes of answer (fewer when the other side closes)."""
    loop = asyncio.get_running_loop()
    v6 = ipaddress.ip_address(address[0]).version == 6
    with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as sock:
        sock.setblocking(False)
        async with asyncio.timeout(timeout):
            await loop.sock_connect(sock, address)
            if not question:
                return b""
            await loop.sock_sendall(sock, question)
            answer = b""
            while len(answer) < enough:
                part = await loop.sock_recv(sock, 4096)
                if not part:
                    break
                answer += part
            return answer


def _failure(what: str, error: BaseException) -> Look:
    if isinstance(error, TimeoutError):
        return Raw.SILENT, f"{what} did not answer in time"
    if isinstance(error, OSError) and error.errno in CERTAIN:
        return Raw.BROKEN, f"{what}: {error.strerror}"
    return Raw.SILENT, f"{what}: {error}"


async def look_at_web(web: Web, timeout: float) -> Look:
    """GET the health page."""
    what = f"http://{web.host}:{web.port}{web.path}"
    question = (
        f"GET {web.path} HTTP/1.0\r\nHost: localhost\r\nUser-Agent: tandem-health\r\nConnection: close\r\n\r\n".encode()
    )
    try:
        answer = await _ask((web.host, web.port), question, 12, timeout)
    except (OSError, TimeoutError) as error:
        return _failure(what, error)
    if answer.startswith(b"HTTP/1.") and answer[9:12] == b"200":
        return Raw.OK, f"{what} answers 200"
    return Raw.BROKEN, f"{what} answers {answer[:12].decode('ascii', 'replace')!r}"


def _record(kind: int, content: bytes) -> bytes:
    return struct.pack("!BBHHBB", 1, kind, 1, len(content), 0, 0) + content


def fastcgi_ping(path: str) -> bytes:
    """One FastCGI request for php-fpm's ping.path."""
    params = {
        "SCRIPT_NAME": path,
        "SCRIPT_FILENAME": path,
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": path,
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
    }
    pairs = b"".join(struct.pack("!BB", len(k), len(v)) + k.encode() + v.encode() for k, v in params.items())
    return _record(1, struct.pack("!HB5x", 1, 0)) + _record(4, pairs) + _record(4, b"") + _record(5, b"")


async def look_at_php(php: Php, timeout: float, known: set[tuple[str, int]]) -> Look:
    """Every pool must take a connection and, when a ping path is known, answer it.

    known: pools that have answered before; those that answer now are added. As long as one answers, the others are not missed before
    they have answered once, since a pool is watched before it is made. (php-fpm listens for all pools that it has, or for none.)
    """
    looks = {address: await _look_at_pool(address, php.ping_path, timeout) for address in php.listen}
    known.update(address for address, look in looks.items() if look[0] is Raw.OK)
    missed = [look for address, look in looks.items() if look[0] is not Raw.OK and (address in known or not known)]
    if missed:
        return next((look for look in missed if look[0] is Raw.BROKEN), missed[-1])
    new = next((text for raw, text in looks.values() if raw is not Raw.OK), "")
    return (Raw.BUSY, f"every known pool answers; a new one not yet: {new}") if new else (Raw.OK, "every pool answers")


async def _look_at_pool(address: tuple[str, int], ping_path: str | None, timeout: float) -> Look:
    what = f"php-fpm {address[0]}:{address[1]}"
    question = fastcgi_ping(ping_path) if ping_path else b""
    try:
        answer = await _ask(address, question, 8, timeout)
    except (OSError, TimeoutError) as error:
        return _failure(what, error)
    if question and answer[:1] != b"\x01":
        return Raw.BROKEN, f"{what} does not speak FastCGI (is this node's address among its allowed clients?)"
    return Raw.OK, f"{what} answers"


class ProcessWatch:
    """Wakes up at the very moment a process ends, without asking again and again."""

    def __init__(self, ended: t.Callable[[], None]) -> None:
        self._ended = ended
        self._descriptor: int | None = None
        self.pid: int | None = None

    def follow(self, pid: int | None) -> bool:
        """True while that process lives and is followed."""
        if self._descriptor is not None and pid == self.pid:
            return True
        self.forget()
        if pid is None:
            return False
        try:
            self._descriptor = os.pidfd_open(pid)
        except OSError:
            return False
        self.pid = pid
        asyncio.get_running_loop().add_reader(self._descriptor, self._dead)
        return True

    def _dead(self) -> None:
        self.forget()
        self._ended()

    def forget(self) -> None:
        if self._descriptor is not None:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = None
        self.pid = None
