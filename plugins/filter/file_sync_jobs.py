# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The jobs of role file_sync for the directories of all sites."""

from __future__ import annotations

DOCUMENTATION = r"""
name: file_sync_jobs
author: The tandem.lemp developers
version_added: 0.1.0
short_description: Make the jobs of role file_sync from a list of sites
description:
  - One job per directory in the site's C(sync), owned and run by the site's user.
  - A job is called after the site and the last part of its directory, or the whole path when that is not unique.
  - A name that is too long, or still not unique, ends with some digits made from the path.
options:
  _input:
    description: The sites, as in C(tandem_sites).
    type: list
    elements: dict
    required: true
  method:
    description: V(rsync) or V(unison). With anything else there are no jobs, because something else keeps the files.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the jobs
  ansible.builtin.debug:
    msg: "{{ tandem_sites | tandem.lemp.file_sync_jobs('unison') }}"
"""

RETURN = r"""
_value:
  description: The jobs.
  type: list
  elements: dict
"""

import collections
import hashlib
import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

_METHODS = ("rsync", "unison")
_LONGEST = 64  # what the program takes for a name


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-.")


def _short(name: str, root: str, unique: bool = True) -> str:
    """The name, or one that is short enough and this directory's own."""
    if unique and len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(root.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST - 9].rstrip('-.')}-{digest}"


def _excludes(site: Mapping[str, Any]) -> list[str]:
    """What stays where it is. A text taken for a list would be its letters, and the * among them everything."""
    excludes = site.get("sync_excludes") or []
    if not isinstance(excludes, list) or not all(isinstance(each, str) and each for each in excludes):
        raise AnsibleFilterError(f"file_sync_jobs: sync_excludes of site {site['name']} is not a list of texts. Write one with a leading dash per name.")
    return list(excludes)


def file_sync_jobs(sites: Iterable[Mapping[str, Any]], method: str) -> list[dict[str, Any]]:
    """One job per directory of each site."""
    if method not in _METHODS:
        return []
    pairs = [(site, posixpath.normpath(root)) for site in sites for root in site.get("sync") or []]
    short = [_short(_slug(f"{site['name']}-{posixpath.basename(root)}"), root) for site, root in pairs]
    long = [_slug(f"{site['name']}{root}") for site, root in pairs]
    uses = collections.Counter(short)
    long_uses = collections.Counter(long)
    return [
        {
            "name": name if uses[name] == 1 else _short(full, root, unique=long_uses[full] == 1),
            "method": method,
            "user": site["user"],
            "root": root,
            "excludes": _excludes(site),
        }
        for name, full, (site, root) in zip(short, long, pairs, strict=True)
    ]


class FilterModule:
    """Filters of playbooks/files.yml."""

    def filters(self) -> dict[str, Any]:
        return {"file_sync_jobs": file_sync_jobs}
