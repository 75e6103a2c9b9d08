# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Until when this node's certificate is valid. Nobody follows a database whose certificate has expired."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime

from .tasks import optional

CERTIFICATE = "/etc/tandem/pki/node.pem"
# Seconds between two looks, and from when on a person is told. Role certificates renews from 30 days on: told as early, a person
# would be asked for a run that renews nothing where certificates_renew_days is less.
EVERY = 60.0
SOON = 14 * 86400.0
_SEQUENCE, _VERSION = 0x30, 0xA0
_FORMATS = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}


def ends(text: str) -> float | None:
    """Unix seconds, from the first certificate of a PEM file. None: it cannot be told.

    Read here and not by a program: to start one would stop the whole daemon where the disk does not answer.
    """
    try:
        _before, begin, rest = text.partition(ssl.PEM_HEADER)
        body, end_mark, _more = rest.partition(ssl.PEM_FOOTER)
        der = ssl.PEM_cert_to_DER_cert(begin + body + end_mark)
        _kind, at, _end = _element(der, 0)  # Certificate
        _kind, at, _end = _element(der, at)  # its TBSCertificate (RFC 5280, 4.1)
        kind, _at, end = _element(der, at)
        if kind == _VERSION:
            at = end
        for _part in ("serial number", "signature", "issuer"):
            _kind, _at, at = _element(der, at)
        kind, at, _end = _element(der, at)  # Validity
        if kind != _SEQUENCE:
            return None
        _kind, _at, at = _element(der, at)  # not before
        kind, at, end = _element(der, at)
        return datetime.strptime(der[at:end].decode("ascii"), _FORMATS[kind]).replace(tzinfo=UTC).timestamp()
    except (ValueError, KeyError, IndexError):
        return None


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """Kind, begin and end of what stands there. Raises IndexError where nothing does."""
    kind, size, begin = der[at], der[at + 1], at + 2
    if size >= 0x80:
        begin += size - 0x80
        size = int.from_bytes(der[at + 2 : begin], "big")
    return kind, begin, begin + size


class Certificate:
    """This node's, looked at now and then."""

    def __init__(self, path: str = CERTIFICATE) -> None:
        self._path = path
        self.ends: float | None = None

    def look(self) -> None:
        try:
            with open(self._path, encoding="ascii") as file:
                self.ends = ends(file.read(65536))
        except (OSError, ValueError):
            self.ends = None

    async def watch(self) -> None:
        """Until cancelled. In a thread: a disk that does not answer holds up nothing else."""
        await optional("the certificate", lambda: asyncio.to_thread(self.look), EVERY)
