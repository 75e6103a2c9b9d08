# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node knows of itself and its peer: written by role operations, readable by root only."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, field, fields
from pathlib import Path

from ..connection import Endpoint
from ..errors import TandemError
from ..runner import Runner, Service

PATH = Path("/etc/tandem/operations.json")
# Both hands of an operation must speak the same.
PROTOCOL = 9


@dataclass(frozen=True)
class Side:
    """One node, as the other one knows it."""

    name: str
    address: str
    port: int = 3306
    ssh_port: int = 22


@dataclass(frozen=True)
class Proxy:
    """HAProxy of this node; no control socket: this pair has none."""

    control: str = ""
    address: str = "127.0.0.1"
    port: int = 6446
    backend: str = "sql_writer"


@dataclass(frozen=True)
class AtlasPort:
    """A port of an Atlas, mostly that of its administrators, and as whom to log in there."""

    host: str
    port: int
    user: str
    password: str = field(repr=False, default="")


@dataclass(frozen=True)
class Vip:
    """One of the addresses that move."""

    address: str
    interface: str


@dataclass(frozen=True)
class HandConfig:
    """Everything that acting on this node takes. No secret ever appears in its text."""

    node: Side
    peer: Side
    engine: str
    service: str
    socket: str
    datadir: str
    replication_user: str
    canary_user: str
    own_accounts: tuple[str, ...]
    ca: str
    replication_password: str = field(repr=False, default="")
    canary_password: str = field(repr=False, default="")
    operator_user: str = "tandem_operator"
    operator_password: str = field(repr=False, default="")
    proxy: Proxy = Proxy()
    atlas: tuple[AtlasPort, ...] = ()  # of both nodes, this one first
    atlas_service: str = ""  # of this node
    atlas_application: AtlasPort | None = None  # where applications of this node connect, and as whom
    vips: tuple[Vip, ...] = ()
    away_file: str = ""
    health_url: str = ""
    semi_sync_timeout: int = 0  # milliseconds; see Server.set_semi_sync

    def root(self) -> Endpoint:
        """The administrator, by the socket."""
        return Endpoint(socket=self.socket)

    def canary(self) -> Endpoint:
        """The account that may do what an application may, and nothing that an administrator may."""
        return Endpoint(socket=self.socket, user=self.canary_user, password=self.canary_password, read_timeout=5)

    def database_service(self) -> Service:
        return Service(self.service, Runner())

    @classmethod
    def load(cls, path: Path = PATH) -> HandConfig:
        """Raises TandemError where it is missing or wrong."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            known = {item.name: data[item.name] for item in fields(cls) if item.name in data}
            # Beside the two, not in them: an older engine that reads this passes over what it does not know.
            ssh_port = int(data.get("ssh_port", 22))
            known["node"], known["peer"] = (Side(**data[side], ssh_port=ssh_port) for side in ("node", "peer"))
            known["proxy"] = Proxy(**data.get("proxy") or {})
            known["atlas"] = tuple(AtlasPort(**port) for port in data.get("atlas") or ())
            if known.get("atlas_application"):
                known["atlas_application"] = AtlasPort(**known["atlas_application"])
            known["vips"] = tuple(Vip(**vip) for vip in data.get("vips") or ())
            known["own_accounts"] = tuple(data["own_accounts"])
            return cls(**t.cast(t.Any, known))
        except FileNotFoundError:
            raise TandemError(f"{path} is missing on this node.", "Run playbooks/operations.yml.") from None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise TandemError(f"{path} cannot be used: {error}.", "Run playbooks/operations.yml.") from error


class Watch:
    """Whether the settings were written anew since this was made: make it before they are loaded."""

    def __init__(self, path: Path = PATH) -> None:
        self._path = path
        self._first = self._stamp()

    def changed(self) -> bool:
        return self._stamp() != self._first

    def _stamp(self) -> tuple[int, ...]:
        try:
            seen = self._path.stat()
        except OSError:
            return ()
        return seen.st_ino, seen.st_mtime_ns, seen.st_size
