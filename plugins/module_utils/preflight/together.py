# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables that mean something only together with another one. No message shows a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..agent.channels import ConfigError, channels
from .fault import Fault, Nodes, listing

_PAGE = re.compile(r"/[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*/")
_USER = re.compile(r"[^:#\s]+:\$[0-9a-z]+\$\S+")
OF_THE_AGENT = ("tandem_notifications", "tandem_witness")


def check(nodes: Nodes) -> Iterator[Fault]:
    """Find what would have no effect, or be refused later. Both nodes have the same values: the first one's are judged."""
    for variables in list(nodes.values())[:1]:
        for what, remedy in (*_home(nodes, variables), *_lost(variables), *_page(variables), *_notifications(variables)):
            yield Fault("both nodes", what, remedy)


def advice(nodes: Nodes) -> Iterator[str]:
    """Say what has no effect as long as no agent runs. Not a fault: somebody may have switched it off for a while."""
    for variables in list(nodes.values())[:1]:
        for name in OF_THE_AGENT:
            if variables.get(name) and not _has_agent(variables):
                yield f"{name} has no effect while tandem_failover is none: it is the agent that uses it."


def _has_agent(variables: dict[str, Any]) -> bool:
    return variables.get("tandem_failover") not in (None, "", "none")


def _home(nodes: Nodes, variables: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Who brings the roles back, and where to."""
    preferred = variables.get("tandem_preferred")
    by_itself = variables.get("tandem_failback") == "when_in_sync"
    if by_itself and not _has_agent(variables):
        yield (
            "tandem_failback is when_in_sync, which is the agent's work, and tandem_failover is none.",
            "Set tandem_failover: automatic or manual; or tandem_failback: never, and run playbooks/failback.yml when you want it.",
        )
    if preferred in (None, ""):
        if by_itself:
            yield "tandem_failback is when_in_sync, and tandem_preferred is not set.", f"Name the node to go back to: {listing(nodes)}."
    elif str(preferred) not in nodes:
        yield f"tandem_preferred is {preferred!r}, which is no node of the pair.", f"It is one of {listing(nodes)}."


def _lost(variables: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Silence alone promotes nobody: see agent/facts.py, preconditions."""
    if variables.get("tandem_failover") == "automatic" and not variables.get("tandem_outside_reference") and not variables.get("tandem_witness"):
        yield (
            "tandem_failover is automatic, and neither tandem_outside_reference nor tandem_witness is set: a node that is lost is never failed over.",
            "Set tandem_outside_reference, such as the gateway, which shows the survivor that it is not cut off itself; or a witness (docs/agent.md).",
        )


def _page(variables: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Nobody shall see the page without TLS and a password."""
    page = variables.get("tandem_status_page")
    if page in (None, ""):
        return
    if not isinstance(page, str) or not _PAGE.fullmatch(page):
        yield f"tandem_status_page is {page!r}.", "It begins and ends with a slash, such as /tandem/."
    if variables.get("tandem_tls") in (None, "", "none"):
        yield "tandem_status_page is set, and tandem_tls is none.", "Its password would be sent in clear: choose tandem_tls: files or pair."
    users = variables.get("tandem_status_page_users")
    if not isinstance(users, list) or not users:
        yield "tandem_status_page is set, and tandem_status_page_users names nobody.", "Write lines NAME:HASH; openssl passwd -6 prints the hash."
    elif not all(isinstance(user, str) and _USER.fullmatch(user) for user in users):
        yield "tandem_status_page_users has a line that is not NAME:HASH.", "openssl passwd -6 prints the hash."


def _notifications(variables: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """As the agent will read them; it shows no value that may be a secret."""
    given = variables.get("tandem_notifications")
    try:
        channels(given if isinstance(given, list) else [])
    except ConfigError as error:
        yield f"tandem_{error}.", "docs/monitoring.md has an example of each kind."
