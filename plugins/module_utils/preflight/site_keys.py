# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The optional keys of a site: each has a value, and of the kind that its role takes. The role would say so in the middle of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .values import did_you_mean

BALANCES = ("round_robin", "least_conn", "ip_hash", "session", "local")
Wrong = tuple[str, str]
"""What is wrong, and the remedy."""


def _text(value: Any) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _of(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


Kind = tuple[Callable[[Any], bool], str, str]
TEXT: Kind = (_text, "a text", "Write it in quotes.")
WHOLE: Kind = (_whole, "a whole number", "Write digits only, without quotes.")
YESNO: Kind = (_of(bool), "true or false", "Write true or false, without quotes.")
LIST: Kind = (_of(list), "a list", "Write one entry with a leading dash per line.")
MAPPING: Kind = (_of(dict), "a mapping", "Write one key and its value per line, indented below it.")
BALANCE: Kind = (lambda value: value in BALANCES, f"one of {', '.join(BALANCES)}", "Correct it; see docs/sites.md.")
PLACE: Kind = (lambda value: isinstance(value, str) and value.startswith("/"), "an address that begins with /", "Start it with /.")

KINDS: dict[str, Kind] = {
    **dict.fromkeys(("url", "title", "admin_user", "admin_email", "client_max_body_size", "static_expires"), TEXT),
    **dict.fromkeys(("tls_certificate", "tls_certificate_key", "extra_config"), TEXT),
    "balance": BALANCE,
    "front_controller": YESNO,
    "locations": LIST,
    "params": MAPPING,
    "php": MAPPING,
}
ROOT: Kind = (lambda value: value == "" or PLACE[0](value), *PLACE[1:])
LOCATION: dict[str, Kind] = {"path": PLACE, "root": ROOT, "php": YESNO}
PHP: dict[str, Kind] = {
    **dict.fromkeys(("max_children", "start_servers", "min_spare_servers", "max_spare_servers", "max_requests", "request_timeout"), WHOLE),
    **dict.fromkeys(("memory_limit", "upload_max", "session_handler", "session_path"), TEXT),
    "readable": LIST,
    "settings": MAPPING,
    "environment": MAPPING,
}
# Whatever else is wrong with them is said elsewhere.
EMPTY_IS_WRONG = ("sync", "sync_excludes", "database", *KINDS)


def wrong(site: Mapping[str, Any]) -> Iterator[Wrong]:
    """Find what the roles would refuse, or trip over."""
    for key in EMPTY_IS_WRONG:
        if key in site and site[key] is None:
            yield _empty(key)
    yield from _kinds({key: site[key] for key in KINDS if site.get(key) is not None}, KINDS, "")
    php, locations = site.get("php"), site.get("locations")
    if isinstance(php, dict):
        yield from _inside(php, PHP, "php")
    for place in locations if isinstance(locations, list) else []:
        if not isinstance(place, dict):
            yield f"locations holds {place!r}, which is not a mapping.", "It has a path, php (true or false), and perhaps a root."
            continue
        for key in ("path", "php"):
            if place.get(key) is None:
                yield f"locations holds an entry without {key}.", "It has a path, php (true or false), and perhaps a root."
        yield from _inside({key: value for key, value in place.items() if value is not None or key == "root"}, LOCATION, "locations")


def _inside(values: Mapping[Any, Any], kinds: Mapping[str, Kind], where: str) -> Iterator[Wrong]:
    for key, value in values.items():
        if key not in kinds:
            yield f"{where} has the unknown key {key}.", did_you_mean(str(key), kinds)
        elif value is None:
            yield _empty(f"{where}: {key}")
    yield from _kinds({key: value for key, value in values.items() if key in kinds and value is not None}, kinds, f"{where}: ")


def _empty(key: str) -> Wrong:
    return f"{key} has no value.", "Give it one, or remove the line."


def _kinds(values: Mapping[str, Any], kinds: Mapping[str, Kind], where: str) -> Iterator[Wrong]:
    for key, value in values.items():
        right, words, remedy = kinds[key]
        if right(value):
            continue
        if kinds[key] is MAPPING:
            yield f"{where}{key} is not a mapping.", remedy  # its values may be secret
        else:
            yield f"{where}{key} is {value!r}, which is not {words}.", remedy
