# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets: there, not the examples, long enough, each one different. No message ever shows one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .fault import Fault, Nodes, listing
from .variables import VARIABLES, Kind

LEAST_LENGTH = 12
MAKE = "Make one with: openssl rand -hex 16, and keep it in an encrypted secrets.yml."
_EXAMPLE = re.compile(r"change.?me|example|secret123|password|passw0rd|12345678", re.IGNORECASE)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f]")
# PyMySQL sends a password in Latin-1, and takes blanks and quotes off the ends of one that it reads from a file of options.
_PLAIN = re.compile(r"(?![\"'])[!-~]([ -~]*[!-~])?(?<![\"'])")
# Signs what the nodes tell each other; role health takes no shorter one.
_LEAST = {"tandem_secret_heartbeat": 16}
# MySQL's error 3056.
_MOST_IN_MYSQL = {"tandem_secret_replication": 32}
# Atlas reads less than that, and has faults of its own.
_JUDGED_ELSEWHERE = ("tandem_secret_atlas",)


def check(nodes: Nodes) -> Iterator[Fault]:
    """Find the faults of the secrets."""
    said: set[tuple[str, str]] = set()
    uses: dict[str, list[str]] = {}
    for variables in nodes.values():
        for name, value in _secrets(variables):
            reason = _reason(value) or _own(name, value, variables.get("tandem_database_engine"))
            if reason and (name, reason) not in said:
                said.add((name, reason))
                yield Fault("both nodes", f"{name} {reason}.", MAKE)
            if not reason and name not in uses.setdefault(value, []):
                uses[value].append(name)
    for names in uses.values():
        if len(names) > 1:
            yield Fault("both nodes", f"{listing(names)} are the same secret.", "Give each its own. " + MAKE)


def _secrets(variables: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for variable in VARIABLES:
        if variable.kind is Kind.SECRET and variables.get(variable.name) not in (None, ""):
            yield variable.name, variables[variable.name]
    sites = variables.get("tandem_sites")
    for site in sites if isinstance(sites, list) else []:
        database = site.get("database") if isinstance(site, dict) else None
        if isinstance(database, dict) and database.get("password") not in (None, ""):
            yield f"the database password of site {site.get('name', '?')}", database["password"]


def _reason(value: Any) -> str | None:
    if not isinstance(value, str):
        return "is not a text: put it in quotes"
    found = _EXAMPLE.search(value)
    if found:
        return f"is still the example, or easy to guess (it holds {found[0]!r})"
    if len(value) < LEAST_LENGTH:
        return f"has {len(value)} characters, which is fewer than {LEAST_LENGTH}"
    if _UNSAFE.search(value):
        return "holds a line break or another control character"
    if len(set(value)) < 5:
        return "is made of fewer than five different characters"
    return None


def _own(name: str, value: str, engine: Any) -> str | None:
    """What the pair's own programs do not take. The site's password is the application's business."""
    if not name.startswith("tandem_") or name in _JUDGED_ELSEWHERE:
        return None
    if not _PLAIN.fullmatch(value):
        return "holds a letter that is not ASCII, or begins or ends with a blank or a quotation mark"
    least = _LEAST.get(name, 0)
    if len(value) < least:
        return f"has {len(value)} characters, which is fewer than {least}"
    most = _MOST_IN_MYSQL.get(name, 0) if engine == "mysql" else 0
    if most and len(value) > most:
        return f"has {len(value)} characters; MySQL takes no password of a source of more than {most}"
    return None
