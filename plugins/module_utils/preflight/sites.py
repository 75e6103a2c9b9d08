# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sites: unique names, ports and users; paths that may safely be served and synchronised."""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Iterator
from typing import Any

from . import fixed, site_keys
from .fault import Fault, Nodes, listing
from .values import did_you_mean, number

APPLICATIONS = ("none", "wordpress")
SITE_KEYS = (
    "name",
    "server_names",
    "application",
    "user",
    "root",
    "php_port",
    "sync",
    "sync_excludes",
    "database",
    "php",
    "url",
    "title",
    "admin_user",
    "admin_email",
    "balance",
    "front_controller",
    "client_max_body_size",
    "static_expires",
    "locations",
    "params",
    "tls_certificate",
    "tls_certificate_key",
    "extra_config",
)
REQUIRED_KEYS = ("name", "server_names", "user", "root", "php_port")
# These send a visitor's uploads to either node.
STICKY = ("session", "ip_hash")
DATABASE_KEYS = ("name", "user", "password")
PHP_PORTS = range(1024, 65536)
SYSTEM_ACCOUNTS = (
    *("root", "www-data", "mysql", "nobody", "daemon", "bin", "sys", "haproxy", "keepalived_script", "nginx"),
    *("tandem", "tandem-hand", "tandem-health", "atlas"),
)
SYSTEM_DIRECTORIES = (
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/lib64",
    "/media",
    "/mnt",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/srv",
    "/sys",
    "/tmp",
    "/usr",
    "/usr/share",
    "/usr/local",
    "/var",
    "/var/lib",
    "/var/lib/mysql",
    "/var/log",
    "/var/spool",
    "/var/www",
)
NEVER_INSIDE = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/tmp"),
    *("/usr/bin", "/usr/lib", "/usr/sbin", "/var/lib/mysql"),
)
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
_HOST = re.compile(r"_|(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
# As role file_sync takes them: in commands, in units and in the names of jobs.
_SYNC = re.compile(r"/[A-Za-z0-9/._-]*[A-Za-z0-9_-]")
_DATABASE = re.compile(r"[A-Za-z0-9_]{1,64}")
_DATABASE_USER = re.compile(r"[A-Za-z0-9_.-]{1,32}")
# What php-fpm puts something else for, even in quotes, and what would end a line.
_PHP_REPLACES = re.compile(r"\$\{|\$pool|[\x00-\x1f\x7f]")
_PHP_REPLACES_VARIABLE = re.compile(r"^$|^\$|" + _PHP_REPLACES.pattern)
_NGINX_REPLACES = re.compile(r'[$"\\\x00-\x1f\x7f]')
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SETTING = re.compile(r"[A-Za-z0-9_.]+")
_IN_QUOTES = re.compile(r'".*"')
_SYSTEM_SCHEMAS = ("mysql", "sys", "information_schema", "performance_schema")
_OTHERS_SCHEMAS = {
    "test": "MariaDB lets anybody write to a schema of that name, wherever it came with the server",
    "tandem": "the pair keeps its own rows there",
}


def check(nodes: Nodes) -> Iterator[Fault]:
    """Find the faults of the sites. Both nodes serve the same ones, so the first readable list is judged."""
    for variables in nodes.values():
        sites = variables.get("tandem_sites")
        if sites in (None, "", []):
            continue
        if not isinstance(sites, list):
            yield _fault("tandem_sites is not a list.", "Write one entry with a leading dash per site.")
            return
        for place, site in enumerate(sites, 1):
            if not isinstance(site, dict):
                yield _fault(f"site number {place} is not a mapping.", "See docs/sites.md for an example.")
                continue
            title = f"site {site.get('name') or f'number {place}'}"
            yield from _one(site, title, fixed.taken(variables))
            yield from (_fault(f"{title}: {what}", remedy) for what, remedy in site_keys.wrong(site))
            yield from _certificate(site, variables, title)
            yield from _pushed(site, variables, title)
        yield from _between([site for site in sites if isinstance(site, dict)])
        return


def _fault(what: str, remedy: str) -> Fault:
    return Fault("tandem_sites", what, remedy)


def _one(site: dict[str, Any], title: str, taken: dict[int, str]) -> Iterator[Fault]:
    for key in REQUIRED_KEYS:
        if site.get(key) in (None, "", []):
            yield _fault(f"{title} has no {key}.", "See docs/sites.md for an example.")
    for key in site:
        if key not in SITE_KEYS:
            yield _fault(f"{title} has the unknown key {key}.", did_you_mean(str(key), SITE_KEYS))
    if site.get("name") and not _matches(_NAME, site["name"]):
        yield _fault(f"{title}: the name has to be lower-case letters, digits and dashes.", "It names files and pools.")
    elif site.get("name") == "global":
        yield _fault(f"{title}: that is php-fpm's name for what is no pool.", "Choose another name.")
    yield from _names(site.get("server_names"), title)
    yield from _account(site.get("user"), title)
    yield from _port(site.get("php_port"), title, taken)
    if site.get("root"):
        yield from _path(site["root"], f"{title}: root")
    sync = site.get("sync") or []
    if not isinstance(sync, list):
        yield _fault(f"{title}: sync is not a list.", "Write a list of directories.")
    else:
        for path in sync:
            found = list(_path(path, f"{title}: sync"))
            if not found and not _matches(_SYNC, path):
                found = [_fault(f"{title}: sync {path!r} holds a character that cannot be synchronised.", "Use letters, digits and . _ -, no dot at the end.")]
            yield from found
    excludes = site.get("sync_excludes") or []
    if not isinstance(excludes, list) or not all(isinstance(each, str) and each for each in excludes):
        yield _fault(f"{title}: sync_excludes is not a list of texts.", "Write one with a leading dash per name, in quotes.")
    yield from _database(site.get("database"), title)
    yield from _texts(site.get("params"), f"{title}: params", _VARIABLE, _NGINX_REPLACES, "no $, no double quote, no backslash and no end of a line")
    yield from _php(site.get("php"), title)
    application = site.get("application", "none")
    if application not in APPLICATIONS:
        yield _fault(
            f"{title}: application {application!r} is not known.",
            f"Choose {' or '.join(APPLICATIONS)}; none is for a tree of your own.",
        )
    elif application != "none" and not site.get("database"):
        yield _fault(f"{title}: {application} needs a database.", "It has a name, a user and a password.")


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _php(php: Any, title: str) -> Iterator[Fault]:
    if not isinstance(php, dict):
        return
    allowed = "no ${, no $pool and no end of a line"
    yield from _texts(php.get("environment"), f"{title}: environment", _VARIABLE, _PHP_REPLACES_VARIABLE, f"something, no $ at its begin, {allowed}")
    yield from _texts(php.get("settings"), f"{title}: settings", _SETTING, _PHP_REPLACES, allowed)
    yield from _texts({"session_path": php.get("session_path") or ""}, f"{title}: php", _SETTING, _PHP_REPLACES, allowed)


def _texts(values: Any, where: str, names: re.Pattern[str], refused: re.Pattern[str], allowed: str) -> Iterator[Fault]:
    """What is written into another program's configuration. The values may be secret."""
    for name, value in values.items() if isinstance(values, dict) else ():
        if not _matches(names, name):
            yield _fault(f"{where}: {name!r} is not a name that can be set.", "Use letters, digits and _.")
        elif not isinstance(value, (str, int, float)) or refused.search(str(value)):
            yield _fault(f"{where}: {name} cannot be written as it is.", f"It holds {allowed}.")
        elif names is _SETTING and _matches(_IN_QUOTES, value):
            yield _fault(f"{where}: {name} stands in double quotes of its own, which PHP would take as a part of it.", "Write it without them.")


def _names(names: Any, title: str) -> Iterator[Fault]:
    if names is not None and not isinstance(names, list):
        yield _fault(f"{title}: server_names is not a list.", "Write a list of host names, or of _ for any name.")
        return
    for name in names or []:
        if not _matches(_HOST, name):
            yield _fault(f"{title}: {name!r} is not a host name.", "Write it without http:// and without a path.")


def _account(user: Any, title: str) -> Iterator[Fault]:
    if not user:
        return
    if not _matches(_ACCOUNT, user):
        yield _fault(f"{title}: {user!r} is not a valid user name.", "Use lower-case letters, digits, _ and -.")
    elif user in SYSTEM_ACCOUNTS:
        yield _fault(f"{title}: user {user} belongs to the system.", "Each site runs as a user of its own.")


def _port(value: Any, title: str, taken: dict[int, str]) -> Iterator[Fault]:
    if value in (None, ""):
        return
    port = number(value)
    if isinstance(value, str) and port is not None:
        yield _fault(f"{title}: php_port {value!r} is a text.", "Write the number without quotes.")
    elif port is None or port not in PHP_PORTS:
        yield _fault(f"{title}: php_port {value!r} is not a port from 1024 to 65535.", "Ports 9000 to 9099 are usual.")
    elif port in taken:
        yield _fault(f"{title}: php_port {port} is used by {taken[port]}.", "Ports 9000 to 9099 are usual.")


def _path(path: Any, title: str) -> Iterator[Fault]:
    if not isinstance(path, str) or not path.startswith("/"):
        yield _fault(f"{title} {path!r} is not an absolute path.", "Start it with /.")
        return
    clean = posixpath.normpath(path)
    if ".." in path.split("/") or any(character in path for character in "\n\r\t \"':$;{}"):
        yield _fault(f"{title} {path!r} holds .. or a character that is special to a program.", "Write a plain path.")
    elif clean in SYSTEM_DIRECTORIES or clean.startswith(tuple(f"{never}/" for never in NEVER_INSIDE)) or clean.count("/") < 2:
        yield _fault(f"{title} {path} belongs to the system.", "Name a directory that holds this site only, such as /srv/www/NAME.")
    elif clean != path or path.startswith("//"):
        # What is compared with the document root has to be written like it: else PHP would be run among the uploads.
        yield _fault(f"{title} {path} is not written plainly.", f"Write {'/' + clean.lstrip('/')}.")


def _certificate(site: dict[str, Any], variables: dict[str, Any], title: str) -> Iterator[Fault]:
    if variables.get("tandem_tls") != "files":
        return
    for key in ("tls_certificate", "tls_certificate_key"):
        if not site.get(key) and not variables.get(f"tandem_{key}"):
            yield _fault(f"{title}: tandem_tls is files, and there is no {key}.", f"Set it, or tandem_{key}.")


def _pushed(site: dict[str, Any], variables: dict[str, Any], title: str) -> Iterator[Fault]:
    """What is uploaded on the passive node is deleted by the push of the active one."""
    if variables.get("tandem_files") == "rsync" and site.get("sync") and site.get("balance") in STICKY:
        yield _fault(
            f"{title} has sync and balance {site['balance']}, and tandem_files is rsync: uploads on the node that is not active would be deleted.",
            "Choose another balance, which lets uploads go to the active node, or tandem_files: unison.",
        )


def _database(database: Any, title: str) -> Iterator[Fault]:
    if database is None:
        return
    if not isinstance(database, dict):
        yield _fault(f"{title}: database is not a mapping.", "It has a name, a user and a password.")
        return
    for key in DATABASE_KEYS:
        if database.get(key) in (None, ""):
            yield _fault(f"{title}: its database has no {key}.", "It has a name, a user and a password.")
    for key in database:
        if key not in DATABASE_KEYS:
            yield _fault(f"{title}: its database has the unknown key {key}.", did_you_mean(str(key), DATABASE_KEYS))
    name, user = database.get("name"), database.get("user")
    if name and (not _matches(_DATABASE, name) or name in _SYSTEM_SCHEMAS):
        yield _fault(f"{title}: {name!r} cannot be its database.", "Use letters, digits and _, not a system schema.")
    elif name in _OTHERS_SCHEMAS:
        yield _fault(f"{title}: {name!r} cannot be its database: {_OTHERS_SCHEMAS[name]}.", "Choose another name.")
    if user and (not _matches(_DATABASE_USER, user) or user == "root" or user.startswith(("tandem_", "mysql."))):
        yield _fault(f"{title}: {user!r} cannot be its database user.", "root and tandem_... belong to the system.")


def _between(sites: list[dict[str, Any]]) -> Iterator[Fault]:
    """What two sites must not share."""
    for key, shown in (("name", "name"), ("php_port", "php_port"), ("user", "user")):
        yield from _shared([(site.get("name", "?"), site.get(key)) for site in sites], shown)
    databases = [(site.get("name", "?"), site["database"]) for site in sites if isinstance(site.get("database"), dict)]
    yield from _shared([(name, database.get("name")) for name, database in databases], "database")
    yield from _shared([(name, database.get("user")) for name, database in databases], "database user")
    lists = [
        (site.get("name", "?"), site["server_names"]) for site in sites if isinstance(site.get("server_names"), list)
    ]
    yield from _shared([(name, host) for name, hosts in lists for host in hosts], "server name")
    yield from _nested(sites)
    yield from _apart(sites)


def _shared(pairs: list[tuple[Any, Any]], shown: str) -> Iterator[Fault]:
    users: dict[str, list[Any]] = {}
    for site, value in pairs:
        if value not in (None, ""):
            users.setdefault(str(value), []).append(site)
    for value, where in users.items():
        if len(where) > 1:
            yield _fault(f"the {shown} {value} is used by {listing(where)}.", "Give each site its own.")


def _nested(sites: list[dict[str, Any]]) -> Iterator[Fault]:
    """Two jobs must never carry the same files."""
    paths = [path for site in sites for path in _plain(site.get("sync"))]
    for path, other in itertools.combinations(paths, 2):
        if _overlap(path, other):
            yield _fault(f"sync would carry {path} and {other}, one of which holds the other.", "Keep the outer one.")


def _apart(sites: list[dict[str, Any]]) -> Iterator[Fault]:
    """A document root is its own site's: others may not enter it, and what lies below it is served under its name."""
    for (place, site), (later, other) in itertools.permutations(enumerate(sites), 2):
        for root in _plain([site.get("root")]):
            roots = _plain([other.get("root")]) if place < later else []  # once for two
            for path in (*roots, *_plain(other.get("sync"))):
                if _overlap(root, path):
                    yield _fault(
                        f"the root {root} of site {site.get('name', '?')} and {path} of site {other.get('name', '?')} lie in one another.",
                        f"Give each site a directory beside the others, such as /srv/www/{other.get('name', 'NAME')}.",
                    )


def _plain(paths: Any) -> list[str]:
    return [posixpath.normpath(path) for path in paths if isinstance(path, str) and path.startswith("/")] if isinstance(paths, list) else []


def _overlap(path: str, other: str) -> bool:
    return path == other or path.startswith(other + "/") or other.startswith(path + "/")
