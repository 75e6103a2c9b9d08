# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that the pair needs and something else has: a server that did other work before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from . import fixed
from .fault import Fault, listing
from .values import number

ANYWHERE = ("0.0.0.0", "*", "::")
# What ss calls Atlas' process.
ATLAS = "mysql-proxy"


class Need(NamedTuple):
    """A port, the addresses it is needed on (none: all), whose it is, and by the beginning of which names its processes are known."""

    port: int
    addresses: tuple[str, ...]
    what: str
    names: tuple[str, ...]


def needs(variables: dict[str, Any]) -> list[Need]:
    """List what is needed on a node with these variables."""
    inside = str(variables.get("tandem_inside_address"))
    local = ("127.0.0.1",)
    proxy = [fixed.port_of(variables, name) for name in ("sql_proxy_writer_port", "sql_proxy_reader_port")]
    found = [
        Need(80, (), "nginx", ("nginx",)),
        Need(3306, (*local, inside), "the database", ("mariadbd", "mysqld")),
        *(Need(port, local, "HAProxy", ("haproxy",)) for port in proxy),
    ]
    if variables.get("tandem_sql_proxy") == "atlas":
        found += [
            Need(fixed.port_of(variables, "atlas_proxy_port"), local, "Atlas", (ATLAS,)),
            Need(fixed.port_of(variables, "atlas_admin_port"), (inside,), "Atlas", (ATLAS,)),
            Need(fixed.POOL_READER_PORT, local, "HAProxy", ("haproxy",)),
        ]
    if variables.get("tandem_tls") not in (None, "", "none"):
        found.append(Need(443, (), "nginx", ("nginx",)))
    sites = variables.get("tandem_sites")
    for site in sites if isinstance(sites, list) else []:
        port = number(site.get("php_port")) if isinstance(site, dict) else None
        if port is not None:
            found.append(Need(port, (inside,), f"php-fpm of site {site.get('name', '?')}", ("php-fpm",)))
    return found


def check(node: str, variables: dict[str, Any], listeners: list[dict[str, Any]], units: Sequence[str] = ()) -> Iterator[Fault]:
    """listeners: address, port and the names of the processes of each socket that is listened on. units: of Atlas, whether it runs or not."""
    at = sorted(f"{each['address']}:{each['port']}" for each in listeners if ATLAS in each["processes"])
    if (at or units) and variables.get("tandem_sql_proxy") != "atlas":
        how = f"serves here (at {listing(at)})" if at else f"is set up here ({listing(units)}), although nobody listens"
        yield Fault(
            node,
            f"Atlas {how}, and tandem_sql_proxy is not atlas.",
            "Run playbooks/leave_atlas.yml first: it moves the applications before it stops Atlas.",
        )
    for need in needs(variables):
        strangers = sorted(
            {
                name
                for each in listeners
                if each["port"] == need.port and (not need.addresses or each["address"] in (*ANYWHERE, *need.addresses))
                for name in each["processes"]
                if not name.startswith(need.names)
            }
        )
        if strangers:
            yield Fault(
                node,
                f"{listing(strangers)} listens on port {need.port}, which {need.what} needs.",
                "Stop it for good (systemctl disable --now), or let it listen elsewhere.",
            )
