# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every variable a user may set. The preflight, the "did you mean" and docs/variables.md are all made from this list."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Kind(enum.Enum):
    """What a value has to look like."""

    ADDRESS = "IPv4 address"
    ADDRESSES = "list of addresses"
    NETWORK = "IPv4 network"
    NETWORKS = "list of networks"
    INTERFACE = "network interface"
    CHOICE = "word"
    NUMBER = "whole number"
    SECRET = "secret"
    DIRECTORY = "directory"
    TEXT = "text"
    YESNO = "true or false"
    SITES = "list of sites"
    HOSTS = "list of hosts"
    LIST = "list"
    MAPPING = "mapping"
    FILE = "path of a file on the nodes"


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of the inventory."""

    name: str
    kind: Kind
    text: str
    required: bool = False
    per_host: bool = False
    may_differ: bool = False
    default: str = ""
    choices: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    least: int = 0
    most: int = 0


def _axis(name: str, text: str, choices: tuple[str, ...], later: tuple[str, ...] = ()) -> Variable:
    return Variable(name, Kind.CHOICE, text, required=True, choices=choices, later=later)


def _network(side: str, text: str) -> tuple[Variable, ...]:
    prefix = f"tandem_{side}_"
    return (
        Variable(
            prefix + "interface",
            Kind.INTERFACE,
            f"Interface of the {side} network, {text}.",
            required=True,
            may_differ=True,
        ),
        Variable(prefix + "network", Kind.NETWORK, f"The {side} network, as address/prefix.", required=True),
        Variable(
            prefix + "address",
            Kind.ADDRESS,
            f"The node's own address on the {side} network.",
            required=True,
            per_host=True,
            may_differ=True,
        ),
        Variable(prefix + "vip", Kind.ADDRESS, f"The address that moves, on the {side} network.", required=True),
        Variable(
            prefix + "reference",
            Kind.ADDRESS,
            f"An address on the {side} network that always answers a ping, such as its gateway. "
            "It tells which node is cut off when the cable is cut silently.",
        ),
        Variable(
            prefix + "router_id",
            Kind.NUMBER,
            f"VRRP router id of the {side} VIP; nobody else on that network may use it.",
            required=True,
            least=1,
            most=255,
        ),
        Variable(
            prefix + "more_vips", Kind.ADDRESSES, f"More addresses that move on the {side} network, of either family."
        ),
    )


VARIABLES: tuple[Variable, ...] = (
    _axis("tandem_traffic", "How clients reach the active node.", ("vip",), ("dns", "service_address")),
    _axis("tandem_database", "How the databases follow each other.", ("replica",), ("master_master", "master_slave")),
    _axis("tandem_files", "What keeps the files of the sites equal.", ("rsync", "unison", "none"), ("drbd_ocfs2",)),
    _axis("tandem_web", "The web server.", ("nginx",), ("apache2", "lighttpd")),
    _axis("tandem_sql_proxy", "What the application talks SQL to.", ("haproxy", "atlas"), ("none",)),
    _axis("tandem_failback", "When a returning node takes over again; when_in_sync needs an agent.", ("never", "when_in_sync")),
    _axis("tandem_database_engine", "The database server. Chosen once; MySQL needs a source of packages, see roles/database.", ("mariadb", "mysql")),
    Variable(
        "tandem_failover",
        Kind.CHOICE,
        "Who makes the replica the primary when the primary is lost: the agent; you, told by the agent; you, without an agent.",
        default="none",
        choices=("automatic", "manual", "none"),
    ),
    Variable("tandem_notifications", Kind.LIST, "Whom the agent tells, and how; see docs/monitoring.md."),
    Variable("tandem_witness", Kind.MAPPING, "A third machine that decides who may be open when the nodes do not hear each other; see docs/agent.md."),
    Variable("tandem_preferred", Kind.TEXT, "With tandem_failback: when_in_sync, the node to which role and addresses go back."),
    Variable(
        "tandem_agent_policy",
        Kind.MAPPING,
        "More settings of the agent, such as boot_alone, alone_on_evidence, replace_unacknowledged, stall_failover and times; see docs/agent-states.md.",
    ),
    Variable(
        "tandem_priority",
        Kind.NUMBER,
        "VRRP priority. The higher one takes the addresses when both nodes start at once.",
        required=True,
        per_host=True,
        may_differ=True,
        least=1,
        most=254,
    ),
    *_network("outside", "where visitors come from"),
    *_network("inside", "between the nodes: database, php-fpm, files"),
    Variable(
        "tandem_management_networks",
        Kind.NETWORKS,
        "Networks that may open ssh to the nodes, of either family. The machine you run Ansible on must be in one of them.",
        required=True,
    ),
    Variable(
        "tandem_ssh_port",
        Kind.NUMBER,
        "Port of sshd on both nodes, for the firewall and for what goes from node to node. Ansible's own is ansible_port.",
        default="22",
        least=1,
        most=65535,
    ),
    Variable("tandem_sites", Kind.SITES, "The sites the pair serves; see docs/sites.md.", required=True),
    Variable(
        "tandem_controller_dir",
        Kind.DIRECTORY,
        "Directory on the controller for what the pair needs there: its certificate authority. Keep it, and keep it private.",
        required=True,
    ),
    Variable("tandem_secret_replication", Kind.SECRET, "Password of the replication account.", required=True),
    Variable("tandem_secret_operator", Kind.SECRET, "Password of the operator account.", required=True),
    Variable("tandem_secret_monitor", Kind.SECRET, "Password of the monitoring account.", required=True),
    Variable("tandem_secret_atlas", Kind.SECRET, "With Atlas, the password of its admin ports; see docs/atlas.md."),
    Variable("tandem_atlas_package", Kind.TEXT, "With Atlas, its package: a file on the controller, or a URL."),
    Variable("tandem_atlas_checksum", Kind.TEXT, "Its checksum, as sha256:HEX. A URL needs it."),
    Variable("tandem_atlas_tree", Kind.DIRECTORY, "With Atlas, instead of a package: an unpacked tree, with bin and lib."),
    Variable("tandem_atlas_tree_on_node", Kind.YESNO, "The tree is on the nodes, not on the controller.", default="false"),
    Variable("tandem_secret_heartbeat", Kind.SECRET, "Key that signs the nodes' heartbeats.", required=True),
    Variable("tandem_group", Kind.TEXT, "Name of the inventory group that holds the two nodes. Say it by -e: it chooses the hosts.", default="tandem"),
    Variable("tandem_hosts_extra", Kind.HOSTS, "More lines for /etc/hosts, each a name and an address."),
    Variable(
        "tandem_database_apt_release",
        Kind.TEXT,
        "Release to install the database from when the configured one lacks it, such as sid for MySQL; see roles/database.",
    ),
    Variable(
        "tandem_database_seed",
        Kind.CHOICE,
        "How a replica gets its first data.",
        default="auto",
        choices=("auto", "never", "always"),
    ),
    Variable("tandem_files_interval", Kind.NUMBER, "Seconds between two runs of a file job.", default="15", least=1),
    Variable(
        "tandem_boot_time_command",
        Kind.TEXT,
        "Command that says when the node booted, where ansible.builtin.reboot cannot tell (containers).",
    ),
    Variable("tandem_client_group", Kind.TEXT, "Inventory group of the lab's client.", default="lab_clients"),
    Variable("tandem_time_servers", Kind.LIST, "Time servers; those of the distribution without a value."),
    Variable("tandem_firewall_rules", Kind.LIST, "More ways in; see roles/firewall.", may_differ=True),
    Variable(
        "tandem_tls",
        Kind.CHOICE,
        "Certificate for https: none, the pair's own, or files.",
        default="none",
        choices=("none", "pair", "files"),
    ),
    Variable("tandem_tls_certificate", Kind.FILE, "With files: the certificate with its chain."),
    Variable("tandem_tls_certificate_key", Kind.FILE, "With files: its key."),
    Variable("tandem_tls_redirect", Kind.YESNO, "Send visitors from http to https.", default="false"),
    Variable(
        "tandem_trusted_proxies",
        Kind.LIST,
        "Proxies in front of the pair, whose word about the visitor's address is taken.",
    ),
    Variable("tandem_status_page", Kind.TEXT, "Where each site publishes the page of the pair, such as /tandem/. Needs TLS."),
    Variable("tandem_status_page_users", Kind.LIST, "Who may see it: lines NAME:HASH, the hash as `openssl passwd -6` prints it."),
    Variable(
        "tandem_debug_headers",
        Kind.YESNO,
        "Say in a header of each page which php-fpm made it.",
        default="false",
    ),
    Variable(
        "tandem_unsupported_ok",
        Kind.YESNO,
        "Go on with a distribution that is not tested, at your own risk.",
        default="false",
        may_differ=True,
    ),
    Variable(
        "tandem_minimum_memory_mb",
        Kind.NUMBER,
        "Refuse a node with less memory than this.",
        default="900",
        least=1,
        may_differ=True,
    ),
    Variable(
        "tandem_minimum_free_mb",
        Kind.NUMBER,
        "Refuse a node with less free space than this on / or under the database directory.",
        default="1500",
        least=1,
        may_differ=True,
    ),
)

KNOWN: dict[str, Variable] = {variable.name: variable for variable in VARIABLES}

FREE_PREFIXES: tuple[str, ...] = ("tandem_secret_site_",)
"""Names the user makes up: the password of each site."""


def as_markdown() -> str:
    """Write the reference table of docs/variables.md."""
    lines = [
        "# Variables of the inventory",
        "",
        "Made from `plugins/module_utils/preflight/variables.py`; a test keeps them equal.",
        "Set the first table; the second has defaults. A name that is in neither is refused by the preflight.",
        "Variables of the roles (`database_...`, `php_fpm_...`, `nginx_...` and so on; see `roles/*/README.md`) may stand beside them.",
        "Those that other parts of a pair rely on stay as they are, and the preflight says so: ports of the database, of the health service and of",
        "the heartbeat, and the names of the pair's own accounts. The ports of HAProxy and Atlas may be moved.",
        "Those that the playbooks set themselves (`health_agent_policy`, `firewall_rules` and so on) would have no effect: the preflight names the",
        "`tandem_` variable to set instead.",
        "",
    ]
    for title, required in (("## To decide", True), ("## Optional", False)):
        lines += [title, "", "| Variable | Value | Default | Meaning |", "| --- | --- | --- | --- |"]
        for variable in VARIABLES:
            if variable.required is required:
                lines.append(
                    f"| `{variable.name}` | {_value(variable)} | {_default(variable)} | {_meaning(variable)} |"
                )
        lines.append("")
    return "\n".join(lines)


def _value(variable: Variable) -> str:
    if variable.choices:
        return ", ".join(f"`{choice}`" for choice in variable.choices)
    if variable.most:
        return f"{variable.least} to {variable.most}"
    return variable.kind.value


def _default(variable: Variable) -> str:
    return f"`{variable.default}`" if variable.default else ""


def _meaning(variable: Variable) -> str:
    words = variable.text
    if variable.per_host:
        words += " Set it per host."
    if variable.later:
        words += " Not in this version: " + ", ".join(f"`{value}`" for value in variable.later) + "."
    return words
