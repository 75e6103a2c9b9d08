# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be asked and told at the admin port, by address.

Atlas numbers its backends by their place, and says "done" to everything. So an address is looked up right before it is
used, and what came of it is looked at afterwards.
"""

from __future__ import annotations

import collections
import ipaddress
import re
import time
import typing as t
from dataclasses import asdict, dataclass

from ..errors import NotYet, OperationFailed
from .errors import CommandFailed, NotAdmin, UnknownBackend
from .wire import Endpoint, Wire, printable

UNKNOWN, UP, DOWN, OFFLINE = "unknown", "up", "down", "offline"
_STATES = (UNKNOWN, UP, DOWN, OFFLINE)
RW, RO = "rw", "ro"
_TYPES = (RW, RO)
_COLUMNS = ("backend_ndx", "address", "state", "type")
_LOST = ("backend id is not exsit", "invalid backend_id")  # its own spelling
AT_WORK = 2.0  # seconds that one may take to answer where something waits for it
_POLL = 0.25
_TAKEN_BACK_MOST = 3


@dataclass(frozen=True)
class Backend:
    """One server behind Atlas. index: its place at this moment, from 1."""

    index: int
    address: str
    state: str
    type: str

    @property
    def key(self) -> tuple[str, str]:
        return self.address, self.type

    def as_dict(self) -> dict[str, t.Any]:
        return asdict(self)


def plain_address(text: str) -> str:
    """192.0.2.1:3306 as Atlas takes it: it ignores, or worse, everything else. Raises CommandFailed."""
    host, _colon, port = text.rpartition(":")
    try:
        address = str(ipaddress.IPv4Address(host))
        if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
            raise ValueError(port)
    except ValueError:
        raise CommandFailed(
            f"{printable(text)!r} is no address that Atlas can add.", "Give an IPv4 address and a port, as 192.0.2.1:3306."
        ) from None
    return f"{address}:{int(port)}"


class Admin:
    """The admin port of one Atlas. clock and sleep: seconds."""

    def __init__(
        self, endpoint: Endpoint, *, clock: t.Callable[[], float] = time.monotonic, sleep: t.Callable[[float], None] = time.sleep
    ) -> None:
        self.endpoint = endpoint
        self._clock = clock
        self._sleep = sleep
        self._wire = Wire(endpoint)

    def close(self) -> None:
        self._wire.close()

    def __enter__(self) -> Admin:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    # Looking

    def version(self) -> str:
        rows = self._wire.query("SELECT VERSION", ["version"])
        if len(rows) != 1:
            raise self._nonsense("has no version, or several")
        return printable(rows[0][0])

    def clients(self) -> list[str]:
        """Addresses, or beginnings of addresses, that may use the proxy; none: everybody may. Atlas takes any text for one."""
        return [row[0] for row in self._wire.query("SELECT * FROM clients", ["client"])]

    def users(self) -> list[str]:
        """Accounts of the proxy. Their passwords come with them and are dropped: they can be turned back."""
        return [row[0] for row in self._wire.query("SELECT * FROM pwds", ["username", "password"])]

    def backends(self) -> tuple[Backend, ...]:
        found = [self._backend(row) for row in self._wire.query("SELECT * FROM backends", _COLUMNS)]
        if [backend.index for backend in found] != list(range(1, len(found) + 1)):
            raise self._nonsense("numbers its backends in another way")
        if len({backend.key for backend in found}) != len(found):
            raise self._nonsense("lists a backend twice")
        return tuple(found)

    def find(self, address: str, kind: str | None = None) -> tuple[Backend, ...]:
        """All entries of an address; it may be there as rw and as ro. Raises UnknownBackend where there is none."""
        listed = self.backends()
        found = tuple(backend for backend in listed if backend.address == address and kind in (None, backend.type))
        if not found:
            raise self._unknown(address, kind, listed)
        return found

    def _unknown(self, address: str, kind: str | None, listed: t.Iterable[Backend]) -> UnknownBackend:
        known = ", ".join(f"{printable(backend.address)} ({backend.type})" for backend in listed) or "none at all"
        return UnknownBackend(
            f"The Atlas at {self.endpoint} has no backend {printable(address)}{f' ({kind})' if kind else ''}.", f"It has {known}."
        )

    def _backend(self, row: t.Sequence[str]) -> Backend:
        number, address, state, kind = row
        if not re.fullmatch(r"[0-9]{1,5}", number) or state not in _STATES or kind not in _TYPES or not address.isprintable():
            raise self._nonsense(f"lists the backend {printable(', '.join(row))!r}")
        return Backend(int(number), address, state, kind)

    def _nonsense(self, what: str) -> NotAdmin:
        return NotAdmin(f"{self.endpoint} {what}, as no Atlas does.", "Is this the admin-address of an Atlas?")

    # Changing

    def set_offline(self, address: str, kind: str) -> Backend:
        """No new connection of an application goes there. What is pinned to it goes on writing: this is no fence."""
        now = self._set("OFFLINE", address, kind)
        if now.state != OFFLINE:
            raise CommandFailed(f"The Atlas at {self.endpoint} took {printable(address)} offline, and shows it as {now.state}.")
        return now

    def set_online(self, address: str, kind: str) -> Backend:
        """It is unknown, and takes nothing, until it is probed: up to 4 s. So never say it of one that is up."""
        now = self._set("ONLINE", address, kind)
        if now.state == OFFLINE:
            raise CommandFailed(f"The Atlas at {self.endpoint} took {printable(address)} online, and shows it as offline.")
        return now

    def _set(self, word: str, address: str, kind: str) -> Backend:
        before = self.backends()
        wanted = self._in(before, address, kind)
        hit = self._tell(word, wanted)
        if hit.key != wanted.key:
            # Somebody has added or removed a backend between the look and the command.
            raise CommandFailed(
                f"The backends of the Atlas at {self.endpoint} were moved by somebody else: {printable(hit.address)} ({hit.type})"
                f" was set {word.lower()} instead of {printable(address)} ({kind}). {self._put_back(word, hit, before)}",
                "Run it again.",
            )
        return self._in(self.backends(), address, kind)

    def _tell(self, word: str, backend: Backend) -> Backend:
        rows = self._act(f"SET {word} {backend.index}", _COLUMNS, backend)
        if len(rows) != 1:
            raise self._nonsense(f"answers one change with {len(rows)} backends")
        return self._backend(rows[0])

    def _put_back(self, word: str, hit: Backend, before: t.Iterable[Backend]) -> str:
        was = next((backend.state for backend in before if backend.key == hit.key), UNKNOWN)
        if (was == OFFLINE) == (word == "OFFLINE"):
            return "That one was so before."
        back = "ONLINE" if word == "OFFLINE" else "OFFLINE"
        try:
            again = self._tell(back, self._in(self.backends(), *hit.key))
        except (CommandFailed, UnknownBackend) as error:
            return f"It could not be set {back.lower()} again: {error}"
        return "That was taken back." if again.key == hit.key else f"It is still {word.lower()}: set it {back.lower()}."

    def add(self, address: str, kind: str) -> Backend:
        """address: as plain_address gives it. The backends behind it move."""
        self._wire.query(f"ADD {'MASTER' if kind == RW else 'SLAVE'} {plain_address(address)}", ["status"])
        now = next((backend for backend in self.backends() if backend.key == (address, kind)), None)
        if now is None:
            raise CommandFailed(f"The Atlas at {self.endpoint} said that it added {address} ({kind}), and does not have it.", "See its log.")
        return now

    def remove(self, address: str, kind: str) -> None:
        before = self.backends()
        wanted = self._in(before, address, kind)
        self._act(f"REMOVE BACKEND {wanted.index}", ["status"], wanted)
        left = collections.Counter(backend.key for backend in self.backends())
        expected = collections.Counter(backend.key for backend in before if backend.key != wanted.key)
        if left != expected:
            lost = ", ".join(f"{printable(name)} ({kind})" for name, kind in sorted((expected - left).keys())) or "nothing"
            more = ", ".join(f"{printable(name)} ({kind})" for name, kind in sorted((left - expected).keys())) or "nothing"
            raise CommandFailed(
                f"After {printable(address)} was removed from the Atlas at {self.endpoint}, {lost} is missing that should be"
                f" there, and {more} is there that should not.",
                "Did somebody else change the backends? Look at them, and run it again.",
            )

    def save_config(self) -> None:
        """Rewrites the configuration file; see config.py for what that breaks. Says nothing of whether it could."""
        self._wire.query("SAVE CONFIG", ["status"])

    def _in(self, listed: t.Sequence[Backend], address: str, kind: str) -> Backend:
        for backend in listed:
            if backend.key == (address, kind):
                return backend
        raise self._unknown(address, kind, listed)

    def _act(self, command: str, columns: t.Sequence[str], backend: Backend) -> list[tuple[str, ...]]:
        try:
            return self._wire.query(command, columns)
        except CommandFailed as error:
            if any(text in error.message for text in _LOST):
                raise self._unknown(backend.address, backend.type, self.backends()) from None
            raise

    # Waiting

    def wait_up(self, address: str, kind: str, timeout: float) -> Backend:
        """Raises NotYet where it is not up after so many seconds; OperationFailed where somebody takes it offline."""
        deadline = self._clock() + timeout
        while True:
            now = self._in(self.backends(), address, kind)
            if now.state == UP:
                return now
            if now.state == OFFLINE:
                raise OperationFailed(f"{printable(address)} was taken offline by somebody else at {self.endpoint}.", "Ask who it was.")
            if self._clock() >= deadline:
                raise NotYet(
                    f"{printable(address)} is {now.state} at the Atlas of {self.endpoint}, after {timeout:g} s.",
                    "Does its server run, and may the first account of pwds log in there with mysql_native_password?",
                )
            self._sleep(min(_POLL, max(deadline - self._clock(), 0.01)))

    def hold_offline(self, address: str, kind: str, seconds: float) -> int:
        """Watch it stay offline for so long, since a probe under way may undo it. Returns how often it had to be said again."""
        again = 0
        deadline = self._clock() + seconds
        while True:
            if self._in(self.backends(), address, kind).state != OFFLINE:
                again += 1
                if again > _TAKEN_BACK_MOST:
                    raise OperationFailed(
                        f"{printable(address)} does not stay offline at the Atlas of {self.endpoint}: it was undone"
                        f" {again} times.",
                        "Does something else set it online?",
                    )
                self.set_offline(address, kind)
                deadline = self._clock() + seconds
            if self._clock() >= deadline:
                return again
            self._sleep(min(_POLL, max(deadline - self._clock(), 0.01)))
