# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Heartbeats: authenticated, fresh, and bound to one network. Pure; no sockets here.

A datagram is MAGIC, an HMAC-SHA256 over the rest, and JSON. Each daemon start draws a random boot id.
A beat counts only if it echoes the receiver's own boot id, so a recording of an earlier conversation
says nothing; within a conversation the counter of each network only rises, so a recording of this one
says nothing either. A boot id that was followed by another never counts again. Sender, receiver and network are inside the authenticated part.
"""

from __future__ import annotations

import collections
import hashlib
import hmac
import json
import secrets
import typing as t
from dataclasses import dataclass

MAGIC = b"TNDM1"
MAC_SIZE = 32
MAX_SIZE = 1400
CANDIDATES = 4
RETIRED = 4096
ENCODER = json.JSONEncoder(separators=(",", ":"))


@dataclass(frozen=True)
class Beat:
    """A beat that was accepted. fresh: its sender has proven to speak now. begun: its daemon has been started since the last one."""

    fresh: bool
    state: t.Mapping[str, t.Any]
    begun: bool = False


class Conversation:
    """Both directions between this node and its one peer."""

    def __init__(self, key: bytes, node: str, peer: str, boot: str | None = None) -> None:
        self._key = hashlib.sha256(b"tandem heartbeat\0" + key).digest()
        self.node = node
        self.peer = peer
        self.boot = boot or secrets.token_hex(12)
        self._sent = 0
        self._state: t.Mapping[str, t.Any] | None = None
        self._state_text = ""
        self._peer_boot: str | None = None
        self._highest: dict[str, int] = {}
        self._candidates: list[str] = []
        self._retired: collections.deque[str] = collections.deque(maxlen=RETIRED)
        self.rejected: dict[str, int] = {}

    def encode(self, network: str, state: t.Mapping[str, t.Any]) -> bytes:
        """state: the same object for each network; it is not changed afterwards."""
        if state is not self._state:
            self._state, self._state_text = state, ENCODER.encode(state)
        self._sent += 1
        echo = [self._peer_boot] if self._peer_boot is not None else []
        ends = ENCODER.encode(
            {
                "from": self.node,
                "to": self.peer,
                "net": network,
                "boot": self.boot,
                "n": self._sent,
                "echo": echo + self._candidates,
            }
        )
        payload = f'{ends[:-1]},"state":{self._state_text}}}'.encode()
        return MAGIC + self._mac(payload) + payload

    def decode(self, datagram: bytes, network: str) -> Beat | None:
        """The beat, or None for anything that must not be believed."""
        payload = datagram[len(MAGIC) + MAC_SIZE :]
        if len(datagram) > MAX_SIZE or not datagram.startswith(MAGIC) or not payload:
            self._reject("garbage")
            return None
        if not hmac.compare_digest(datagram[len(MAGIC) : len(MAGIC) + MAC_SIZE], self._mac(payload)):
            self._reject("wrong key")
            return None
        try:
            message = json.loads(payload)
            ends = (message["from"], message["to"], message["net"])
            boot, number, echo, state = message["boot"], message["n"], message["echo"], message["state"]
        except (ValueError, KeyError, TypeError):
            self._reject("garbage")
            return None
        if ends != (self.peer, self.node, network):
            self._reject("wrong ends")
            return None
        if (
            not isinstance(boot, str)
            or not isinstance(number, int)
            or not isinstance(echo, list)
            or not isinstance(state, dict)
        ):
            self._reject("garbage")
            return None
        if self.boot not in echo:
            self._remember(boot)
            return Beat(False, {})
        begun = boot != self._peer_boot
        if begun:
            if boot in self._retired:
                self._reject("replayed")
                return None
            if self._peer_boot is not None:
                self._retired.append(self._peer_boot)
            self._peer_boot = boot
            self._highest = {}
            self._candidates = [known for known in self._candidates if known != boot]
        if number <= self._highest.get(network, 0):
            self._reject("replayed")
            return None
        self._highest[network] = number
        return Beat(True, state, begun)

    def _remember(self, boot: str) -> None:
        """Somebody who holds the key, now or once, used this boot id: echo it, so that who speaks now can prove it."""
        if boot == self._peer_boot:
            return
        if boot in self._candidates:
            self._candidates.remove(boot)
        self._candidates = [boot, *self._candidates][:CANDIDATES]

    def _mac(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, payload, "sha256")

    def _reject(self, why: str) -> None:
        self.rejected[why] = self.rejected.get(why, 0) + 1
