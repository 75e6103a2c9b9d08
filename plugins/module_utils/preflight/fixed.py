# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables of one role that other parts of a pair rely on: those that have to stay, and ports that may be moved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .fault import Fault, Nodes, listing
from .values import number

FIXED: dict[str, int | str] = {
    "database_port": 3306,
    "operations_database_port": 3306,
    "sql_proxy_server_port": 3306,
    "health_http_port": 9200,
    "sql_proxy_health_port": 9200,
    "health_heartbeat_port": 9201,
    "nginx_peer_port": 8079,
    "health_web_port": 80,
    "health_web_path": "/healthz",
    "health_php_ping_path": "/php-ping",
    "database_donor_user": "tandem",
    "database_replication_user": "tandem_repl",
    "database_operator_user": "tandem_operator",
    "database_monitor_user": "tandem_monitor",
    "database_canary_user": "tandem_canary",
    "health_monitor_user": "tandem_monitor",
    "atlas_proxy_address": "127.0.0.1",
}
"""A role by itself may have them otherwise. In a pair the firewall, HAProxy, the hands, the runbooks or the peer rely on these values."""

MOVABLE = {
    "sql_proxy_writer_port": (6446, "HAProxy"),
    "sql_proxy_reader_port": (6447, "HAProxy"),
    "atlas_proxy_port": (1234, "Atlas"),
    "atlas_admin_port": (2345, "Atlas"),
}
"""Ports that every part takes from the inventory: the usual one, and whose it is."""

OF_SSH = ("firewall_ssh_port", "file_sync_ssh_port", "operations_ssh_port", "health_ssh_port")
"""What tandem_ssh_port sets in all roles."""

PLACES = ("atlas_prefix", "atlas_log_dir")
"""Directories on the nodes, which the preflight of Atlas looks at."""

OVERWRITTEN = {
    "health_agent_enabled": "tandem_failover",
    "health_agent_policy": "tandem_agent_policy",
    "health_agent_notifications": "tandem_notifications",
    "health_agent_witness": "tandem_witness",
    "firewall_rules": "tandem_firewall_rules",
    "firewall_ssh_sources": "tandem_management_networks",
    "nginx_status_clients": "tandem_status_page",
    "nginx_trusted_proxies": "tandem_trusted_proxies",
    "nginx_tls": "tandem_tls",
    "nginx_tls_certificate": "tandem_tls_certificate",
    "nginx_tls_certificate_key": "tandem_tls_certificate_key",
    "nginx_tls_redirect": "tandem_tls_redirect",
    "nginx_sites": "tandem_sites",
    "php_fpm_sites": "tandem_sites",
    "base_hosts": "tandem_hosts_extra",
    "base_time_servers": "tandem_time_servers",
    "keepalived_priority": "tandem_priority",
    "file_sync_interval": "tandem_files_interval",
    "atlas_package": "tandem_atlas_package",
    "atlas_checksum": "tandem_atlas_checksum",
    "atlas_tree": "tandem_atlas_tree",
    "atlas_tree_on_node": "tandem_atlas_tree_on_node",
    "atlas_user": "tandem_sites",
    "atlas_password": "tandem_sites",
    "atlas_site_database": "tandem_sites",
    "atlas_admin_address": "tandem_inside_address",
    "atlas_admin_password": "tandem_secret_atlas",
    "atlas_pair": "",
    "atlas_peer": "",
    "atlas_writers": "",
    "atlas_readers": "",
    "atlas_reader_port": "",
    "atlas_watched": "",
    "atlas_admins": "",
}
"""What the playbooks give to a role, whatever the inventory says, and what of the inventory they make it from; "": of the pair itself."""

POOL_READER_PORT = 6448
"""HAProxy's, for the reads of Atlas; playbooks/vars/atlas.yml has it."""

_OTHERS = {
    80: "nginx",
    443: "nginx",
    3306: "the database",
    POOL_READER_PORT: "HAProxy",
    8079: "the peer's nginx",
    9200: "the health service",
    9201: "the heartbeat",
}

NAMES = frozenset((*FIXED, *MOVABLE, *OF_SSH, *PLACES, *OVERWRITTEN))
"""What the preflight reads besides tandem_..."""


def port_of(variables: dict[str, Any], name: str) -> int:
    """Return the port that a movable one has on a node; the usual one where none is set."""
    return number(variables.get(name)) or MOVABLE[name][0]


def taken(variables: dict[str, Any]) -> dict[int, str]:
    """Return the ports of the pair itself on a node, and whose they are."""
    return {**_OTHERS, **{port_of(variables, name): whose for name, (_usual, whose) in MOVABLE.items()}}


def check(nodes: Nodes) -> Iterator[Fault]:
    """Find what would take the pair down without a word. What both nodes share is said once."""
    found: dict[tuple[str, str], list[str]] = {}
    for node, variables in nodes.items():
        for said in (*_fixed(variables), *_overwritten(variables), *_of_ssh(variables), *_moved(variables)):
            found.setdefault(said, []).append(node)
    for (what, remedy), where in found.items():
        yield Fault("both nodes" if len(where) == 2 else listing(where), what, remedy)


def _fixed(variables: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in FIXED.items():
        given = variables.get(name, value)
        if (number(given) if isinstance(value, int) else given) != value:
            yield f"{name} is {given}. It is fixed at {value} in a pair: other parts rely on it.", "Remove it from the inventory."


def _overwritten(variables: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, instead in OVERWRITTEN.items():
        if name in variables:
            yield f"{name} has no effect in the inventory: the playbooks set it themselves.", f"Remove it, and set {instead}." if instead else "Remove it."


def _of_ssh(variables: dict[str, Any]) -> Iterator[tuple[str, str]]:
    ssh = variables.get("tandem_ssh_port", 22)
    for name in OF_SSH:
        if number(variables.get(name, ssh)) != number(ssh):
            yield f"{name} is {variables[name]}, and tandem_ssh_port is {ssh}.", "Set tandem_ssh_port alone: every part takes it."


def _moved(variables: dict[str, Any]) -> Iterator[tuple[str, str]]:
    used = dict(_OTHERS)
    for name, (_usual, whose) in MOVABLE.items():
        port = number(variables.get(name, port_of(variables, name)))
        if port is None or not 0 < port < 65536:
            yield f"{name} is {variables.get(name)!r}, which is no port.", "Write a number from 1 to 65535."
        elif port in used:
            yield f"{name} {port} is used by {used[port]}.", "Choose another one."
        else:
            used[port] = f"{whose} ({name})"
