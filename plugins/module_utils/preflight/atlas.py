# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Atlas: what it cannot talk to, and what it needs. No message shows a secret."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

from ..atlas.password import LONGEST
from . import fixed
from .fault import Fault, Nodes, both, listing
from .secrets import MAKE

_ADMIN_PASSWORD = re.compile(r"[!-\[\]-~]+")
_CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")
_URL = re.compile(r"(https?|ftp)://")
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
"""What its unit cannot see (ProtectHome, PrivateTmp)."""
_SHARED = ("/", "/opt", "/srv", "/var", "/var/lib", "/var/log")
"""What its logs cannot have for themselves."""
_PORTS = ("atlas_proxy_port", "atlas_admin_port")


def check(nodes: Nodes, is_file: Callable[[str], bool] = lambda _path: True) -> Iterator[Fault]:
    """Find what Atlas cannot work with, where it is chosen. is_file: of the controller."""
    if "atlas" not in both(nodes, "tandem_sql_proxy").values():
        return
    for variables in list(nodes.values())[:1]:
        for what, remedy in (*_faults(variables), *_brought(variables, is_file)):
            yield Fault("both nodes", what, remedy)


def check_machine(node: str, variables: dict[str, Any], distribution: str) -> Iterator[Fault]:
    """Find what does not fit that machine."""
    package = str(variables.get("tandem_atlas_package") or "")
    if variables.get("tandem_sql_proxy") == "atlas" and distribution == "debian" and package.endswith(".rpm"):
        yield Fault(node, f"tandem_atlas_package is {package}, and Debian takes no rpm.", "Give a deb that was built for it, or tandem_atlas_tree.")


def _brought(variables: dict[str, Any], is_file: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    """What is copied from the controller. A relative path is looked for by Ansible in several places, so nothing is said of it."""
    package, tree = str(variables.get("tandem_atlas_package") or ""), str(variables.get("tandem_atlas_tree") or "")
    if package and not _URL.match(package) and os.path.isabs(package) and not is_file(package):
        yield f"tandem_atlas_package is {package}, and there is no such file on this machine.", "Put it there first, or correct it."
    program = os.path.join(tree, "bin", "mysql-proxy")
    if tree and variables.get("tandem_atlas_tree_on_node") is not True and os.path.isabs(tree) and not is_file(program):
        yield f"tandem_atlas_tree is {tree}, and there is no {program} on this machine.", "It is an unpacked Atlas, with bin and lib."


def _faults(variables: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if variables.get("tandem_database_engine") == "mysql":
        yield (
            "tandem_sql_proxy is atlas, and tandem_database_engine is mysql: Atlas cannot log in by caching_sha2_password.",
            "Choose tandem_sql_proxy: haproxy, or tandem_database_engine: mariadb.",
        )
    yield from _source(variables)
    yield from _ports(variables)
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
        yield f"tandem_atlas_checksum is {checksum!r}.", "Write it as sha256:HEX, with 64 digits, in small letters."
    if package and not package.endswith((".deb", ".rpm")):
        yield f"tandem_atlas_package is {package}, which ends neither with .deb nor with .rpm.", "Give a package, or tandem_atlas_tree."
    yield from _places(variables)


def _places(variables: dict[str, Any]) -> Iterator[tuple[str, str]]:
    of_program = "tandem_atlas_tree" if variables.get("tandem_atlas_tree_on_node") is True else "atlas_prefix"
    for name, instead in ((of_program, "/opt/atlas"), ("atlas_log_dir", "/var/log/atlas")):
        given = variables.get(name)
        place = os.path.normpath(str(given or "/"))
        hidden = [above for above in _HIDDEN if f"{place}/".startswith(f"{above}/")]
        if hidden:
            yield f"{name} is {given} on the nodes, and Atlas' unit does not see {hidden[0]}.", f"Put it elsewhere, such as {instead}."
        elif name == "atlas_log_dir" and name in variables and (not os.path.isabs(str(given)) or place in _SHARED):
            yield f"{name} is {given!r}, which is no directory of its own.", f"Choose a directory for its logs alone, such as {instead}."


def _ports(variables: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in _PORTS:
        if 0 < fixed.port_of(variables, name) < 1024:
            yield f"{name} is {variables[name]}, and Atlas is not root.", "Choose one from 1024."


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
