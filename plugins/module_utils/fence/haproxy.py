# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The writer port of this node lets nobody through. Proven by a connection that is greeted by no server.

Holds until HAProxy is restarted, and for this node's port alone: the driver read_only holds everywhere.
"""

from __future__ import annotations

import socket
import typing as t

from ..errors import OperationFailed
from ..hand.config import Proxy
from ..hand.haproxy import HAProxy, ProxyFailed

_TIMEOUT = 2.0


class WriterPort:
    """All servers of the backend, in maintenance."""

    name = "haproxy"
    sufficient = True

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._haproxy = HAProxy(proxy.control, proxy.address, proxy.port, proxy.backend)

    def fenced(self) -> bool:
        servers = self._haproxy.servers()
        return bool(servers) and not self._working(servers)

    @staticmethod
    def _working(servers: t.Mapping[str, str]) -> list[str]:
        return sorted(name for name, state in servers.items() if not state.startswith("MAINT"))

    def plan(self) -> dict[str, t.Any]:
        return {"servers": self._working(self._haproxy.servers())}

    def fence(self, planned: t.Mapping[str, t.Any]) -> None:
        for name in planned["servers"]:
            self._set(name, "maint")
        for name in planned["servers"]:
            self._haproxy.ask(f"shutdown sessions server {self._proxy.backend}/{name}")

    def unfence(self, recorded: t.Mapping[str, t.Any] | None) -> None:
        servers = self._haproxy.servers()
        wanted = recorded["servers"] if recorded is not None else sorted(servers)
        for name in wanted:
            if name in servers:
                self._set(name, "ready")

    def _set(self, name: str, state: str) -> None:
        said = self._haproxy.ask(f"set server {self._proxy.backend}/{name} state {state}")
        if said:
            raise ProxyFailed(f"HAProxy refused to set {name} to {state}: {said}", "Is its configuration that of role sql_proxy?")

    def prove(self) -> str:
        """A database speaks first: whoever is not greeted has no database behind the port."""
        try:
            with socket.create_connection((self._proxy.address, self._proxy.port), _TIMEOUT) as line:
                line.settimeout(_TIMEOUT)
                greeted = line.recv(1)
        except OSError:
            greeted = b""
        if greeted:
            raise OperationFailed(f"The writer port {self._proxy.port} still leads to a server.", "See playbooks/status.yml.")
        return f"the writer port {self._proxy.port} leads to nobody"
