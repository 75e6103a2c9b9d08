# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Atlas: what it cannot talk to, and what it needs. No message shows a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..atlas.password import LONGEST
from .fault import Fault, Nodes, both, listing
from .secrets import MAKE

_ADMIN_PASSWORD = re.compile(r"[!-\[\]-~]+")
_CHECKSUM = re.compile(r"(sha256|sha384|sha512):[0-9a-f]+")
_URL = re.compile(r"(https?|ftp)://")


def check(nodes: Nodes) -> Iterator[Fault]:
    """Find what Atlas cannot work with, where it is chosen."""
    if "atlas" not in both(nodes, "tandem_sql_proxy").values():
        return
    for variables in list(nodes.values())[:1]:
        for what, remedy in _faults(variables):
            yield Fault("both nodes", what, remedy)


def _faults(variables: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if variables.get("tandem_database_engine") == "mysql":
        yield (
            "tandem_sql_proxy is atlas, and tandem_database_engine is mysql: Atlas cannot log in by caching_sha2_password.",
            "Choose tandem_sql_proxy: haproxy, or tandem_database_engine: mariadb.",
        )
    yield from _source(variables)
    secret = variables.get("tandem_secret_atlas")
    if secret in (None, ""):
        yield "tandem_sql_proxy is atlas, and tandem_secret_atlas is not set.", MAKE
    elif isinstance(secret, str) and not _ADMIN_PASSWORD.fullmatch(secret):
        yield "tandem_secret_atlas holds a blank, a backslash or a letter that is not ASCII, which Atlas does not read.", MAKE
    yield from _sites(variables.get("tandem_sites"))


def _source(variables: dict[str, Any]) -> Iterator[tuple[str, str]]:
    package, checksum = str(variables.get("tandem_atlas_package") or ""), str(variables.get("tandem_atlas_checksum") or "")
    tree = variables.get("tandem_atlas_tree")
    if not package and not tree:
        yield (
            "tandem_sql_proxy is atlas, and there is neither tandem_atlas_package nor tandem_atlas_tree.",
            "No distribution has Atlas: you bring it. See docs/atlas.md, or choose tandem_sql_proxy: haproxy.",
        )
    if package and tree:
        yield "tandem_atlas_package and tandem_atlas_tree are both set.", "Remove one of them."
    if _URL.match(package) and not checksum:
        yield "tandem_atlas_package is a URL, and tandem_atlas_checksum is not set.", "Set it, as sha256:HEX."
    if checksum and not _CHECKSUM.fullmatch(checksum):
        yield f"tandem_atlas_checksum is {checksum!r}.", "Write it as sha256:HEX, in small letters."


def _sites(sites: Any) -> Iterator[tuple[str, str]]:
    """One account for each Atlas, and so one site with a database."""
    found = [site for site in sites if isinstance(site, dict) and isinstance(site.get("database"), dict)] if isinstance(sites, list) else []
    if not found:
        yield "tandem_sql_proxy is atlas, and no site has a database.", "Atlas logs in as a site's user. Choose tandem_sql_proxy: haproxy."
    if len(found) > 1:
        yield (
            f"tandem_sql_proxy is atlas, and {listing(site.get('name', '?') for site in found)} each have a database.",
            "Atlas takes one account: a second one ends the process in front of MariaDB. Choose tandem_sql_proxy: haproxy.",
        )
    for site in found:
        password = site["database"].get("password")
        if isinstance(password, str) and len(password.encode("utf-8", "replace")) > LONGEST:
            yield (
                f"the database password of site {site.get('name', '?')} has more than {LONGEST} bytes, with which Atlas does not start.",
                "Choose a shorter one.",
            )
