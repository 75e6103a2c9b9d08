# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration file of an Atlas, and what SAVE CONFIG does to it.

SAVE CONFIG says "done" whether it could write or not. It makes a new file, which everybody may write when Atlas runs as a
daemon. It forgets the weights, and it breaks the line of a long password so that Atlas does not start again. So the file of
before is written again, as it was, with only those values changed that have another meaning now.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ..errors import OperationFailed, Refused
from .admin import RO, RW, Backend, plain_address
from .errors import CommandFailed

_GROUP = "[mysql-proxy]"
_ADDRESSES = {RW: "proxy-backend-addresses", RO: "proxy-read-only-backend-addresses"}
_DEFAULT = {RW: "127.0.0.1:3306", RO: ""}
_PWDS, _CLIENTS = "pwds", "client-ips"
_KEY = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)[ \t]*=[ \t]*(.*)")
_MOST = 1 << 20  # bytes


@dataclass(frozen=True)
class Config:
    """The file as it was at one moment. No text of it ever stands in a message: it holds passwords."""

    path: Path
    text: str
    mode: int
    owner: int
    group: int

    @classmethod
    def load(cls, path: Path) -> Config:
        """Raises Refused where it is no plain file that can be read and understood."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                found = os.fstat(descriptor)
                data = os.read(descriptor, _MOST + 1) if stat.S_ISREG(found.st_mode) else b""
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Refused(f"{path} cannot be read: {error.strerror}.", "Give the configuration file itself, not a link to it.") from error
        text = data.decode("utf-8", "surrogateescape")
        if not stat.S_ISREG(found.st_mode) or len(data) > _MOST or _GROUP not in (line.strip() for line in text.split("\n")):
            raise Refused(f"{path} is no configuration file of an Atlas.", f"It needs a line {_GROUP}.")
        return cls(path, text, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)

    def value(self, key: str) -> str | None:
        """The last one counts, as for Atlas."""
        found = None
        for name, value, _first, _last in _entries(self.text):
            if name == key:
                found = value
        return found

    def addresses(self, kind: str) -> list[tuple[str, str]]:
        """Address and weight ("" where none is given) of the backends of a type. Raises Refused for anything but IPv4:port."""
        value = self.value(_ADDRESSES[kind])
        found = []
        for item in (_DEFAULT[kind] if value is None else value).split(","):
            address, _at, weight = item.strip().partition("@")
            if not address:
                continue
            try:
                found.append((plain_address(address if ":" in address else f"{address}:3306"), weight))
            except CommandFailed:
                raise Refused(
                    f"{self.path}: {_ADDRESSES[kind]} names a backend otherwise than as an IPv4 address and a port.",
                    "Atlas would save it under another name. Write addresses.",
                ) from None
        return found

    def says(self, backends: t.Iterable[Backend]) -> bool:
        """Whether an Atlas that starts with it has these backends."""
        listed = list(backends)
        writers, readers = ([address for address, _weight in self.addresses(kind)] for kind in (RW, RO))
        same_writers = writers == [one.address for one in listed if one.type == RW]
        return same_writers and sorted(readers) == sorted(one.address for one in listed if one.type == RO)


def _entries(text: str) -> t.Iterator[tuple[str, str, int, int]]:
    """Key, value, first and last line of every entry, in order. A password that Atlas has folded is one value."""
    inside = False
    lines = [line.strip() for line in text.split("\n")]
    number = 0
    while number < len(lines):
        line, first = lines[number], number
        number += 1
        match = _KEY.fullmatch(line)
        if line.startswith("["):
            inside = line == _GROUP
        elif inside and match:
            key, value = match.groups()
            while key == _PWDS and number < len(lines) and _goes_on(value, lines[number]):
                value += lines[number]
                number += 1
            yield key, value, first, number - 1


def _goes_on(value: str, line: str) -> bool:
    """Whether a line is the rest of the last password. Folded at 64 characters; what follows encodes whole blocks of DES."""
    whole = len(value.rpartition(":")[2])
    rest = line.partition(",")[0]
    return bool(whole) and whole % 64 == 0 and len(rest) in (12, 24, 32, 44, 56, 64) and bool(re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", rest))


def _with_value(text: str, key: str, value: str) -> str:
    """The same text, but for the last entry of this key; at the end of the group where there is none."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)  # splitlines() would split at more than Atlas does
    entries = list(_entries(text))
    same = [entry for entry in entries if entry[0] == key]
    if same:
        _key, _value, first, last = same[-1]
        head, equals, said = lines[first].partition("=")
        space = said[: len(said) - len(said.lstrip(" \t"))]
        lines[first : last + 1] = [f"{head}{equals}{space}{value}\n"]
        return "".join(lines)
    after = entries[-1][3] if entries else next(number for number, line in enumerate(lines) if line.strip() == _GROUP)
    if not lines[after].endswith("\n"):
        lines[after] += "\n"
    lines.insert(after + 1, f"{key} = {value}\n")
    return "".join(lines)


def mended(before: Config, saved: Config) -> str:
    """The text of before with the backends, accounts and clients of what Atlas saved."""
    text = before.text
    for kind, key in _ADDRESSES.items():
        weights = dict(before.addresses(kind))
        now = [address for address, _weight in saved.addresses(kind)]
        # The order of readers means nothing; that of writers does.
        if now != list(weights) and (kind == RW or sorted(now) != sorted(weights)):
            text = _with_value(text, key, ",".join(address + (f"@{weights[address]}" if weights.get(address) else "") for address in now))
    for key in (_PWDS, _CLIENTS):
        now_said = saved.value(key)
        if now_said is not None and _items(now_said) != _items(before.value(key) or ""):
            text = _with_value(text, key, ",".join(_items(now_said)))
    return text


def _items(value: str) -> list[str]:
    return [item.strip() for item in value.split(",") if item.strip()]


def mend(before: Config, backends: t.Iterable[Backend]) -> None:
    """After SAVE CONFIG. Raises CommandFailed where Atlas has not saved; OperationFailed where the file cannot be mended."""
    _close_to_others(before)
    try:
        saved = Config.load(before.path)
        said = saved.says(backends)
    except Refused as error:
        raise OperationFailed(f"Atlas has saved what cannot be mended. {error}", "Write the file anew before Atlas starts again.") from error
    if not said:
        raise CommandFailed(
            f"Atlas said that it saved its configuration, and {before.path} does not have it.",
            "May its user write the directory? Is this the file that it was started with?",
        )
    text = mended(before, saved)
    if (text, before.mode, before.owner, before.group) == (saved.text, saved.mode, saved.owner, saved.group):
        return
    _replace(before, text)


def _close_to_others(before: Config) -> None:
    """At once: in daemon mode everybody may read and write what Atlas has just written."""
    try:
        descriptor = os.open(before.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            found = os.fstat(descriptor)
            if stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) & ~before.mode:
                os.fchmod(descriptor, stat.S_IMODE(found.st_mode) & before.mode)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _not_mended(before, error) from error


def _replace(before: Config, text: str) -> None:
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{before.path.name}.", dir=before.path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()
            made = os.fstat(file.fileno())
            if (made.st_uid, made.st_gid) != (before.owner, before.group):
                os.fchown(file.fileno(), before.owner, before.group)
            os.fchmod(file.fileno(), before.mode)
            os.fsync(file.fileno())
        os.replace(temporary, before.path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise _not_mended(before, error) from error


def _not_mended(before: Config, error: OSError) -> OperationFailed:
    return OperationFailed(
        f"Atlas has saved {before.path}, and it could not be mended: {error.strerror}.",
        "It has lost its weights, and perhaps everybody may write it.",
    )
