# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Log lines for journald, with fields of their own: `journalctl -u tandem-health TANDEM_EVENT=transition`.

The protocol is systemd's native one ("Native Journal Protocol", systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram a line,
NAME=VALUE each on a line of its own; a value with a line break is told by its length.
"""

from __future__ import annotations

import logging
import socket
import struct
import sys
import typing as t

SOCKET = "/run/systemd/journal/socket"
LEVELS = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def entry(fields: t.Mapping[str, t.Any]) -> bytes:
    """One datagram. Names are upper case letters, digits and underscores; a value that is None is left out."""
    parts = []
    for name, value in fields.items():
        if value is None:
            continue
        said = str(value).encode("utf-8", "surrogateescape")
        key = name.encode("ascii")
        parts.append(key + b"\n" + struct.pack("<Q", len(said)) + said + b"\n" if b"\n" in said else key + b"=" + said + b"\n")
    return b"".join(parts)


def event(kind: str, **details: t.Any) -> dict[str, dict[str, t.Any]]:
    """For a logger's `extra`."""
    return {"tandem": {"TANDEM_EVENT": kind, **{f"TANDEM_{name.upper()}": value for name, value in details.items()}}}


class Handler(logging.Handler):
    """To journald; where there is none, to standard error with the level in front (sd-daemon(3))."""

    def __init__(self, identifier: str, path: str = SOCKET) -> None:
        super().__init__()
        self._identifier, self._path = identifier, path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def emit(self, record: logging.LogRecord) -> None:
        """A full or missing journal delays nobody."""
        text = self.format(record)
        level = LEVELS.get(record.levelno, 5)
        own = getattr(record, "tandem", {})
        try:
            fields = {"MESSAGE": text, "PRIORITY": level, "SYSLOG_IDENTIFIER": self._identifier, "LOGGER": record.name, **own}
            self._socket.sendto(entry(fields), self._path)
        except OSError:
            line = text.replace("\n", " | ")
            sys.stderr.write(f"<{level}>{line}\n")

    def close(self) -> None:
        self._socket.close()
        super().close()
