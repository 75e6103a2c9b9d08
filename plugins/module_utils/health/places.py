# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which addresses this node has, and how much room is on its disks: cheap enough to be asked for every answer."""

from __future__ import annotations

import os
import re
import typing as t

FIB = "/proc/net/fib_trie"
# proc(5) does not describe it; net/ipv4/fib_trie.c prints "|-- ADDRESS" and below it "/32 host LOCAL".
_LOCAL = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")


def held(wanted: t.Mapping[str, str], path: str = FIB) -> dict[str, bool]:
    """By name: is that IPv4 address on this node? Empty where it cannot be told."""
    try:
        with open(path, encoding="ascii") as file:
            here = set(_LOCAL.findall(file.read()))
    except (OSError, ValueError):
        return {}
    return {name: address in here for name, address in wanted.items()}


def disks(paths: t.Iterable[str]) -> list[dict[str, t.Any]]:
    """path, free and size in bytes, as an ordinary user may use them; one entry per file system."""
    found: dict[int, dict[str, t.Any]] = {}
    for path in paths:
        try:
            seen, device = os.statvfs(path), os.stat(path).st_dev
        except OSError:
            continue
        found.setdefault(device, {"path": path, "free": seen.f_bavail * seen.f_frsize, "size": seen.f_blocks * seen.f_frsize})
    return list(found.values())
