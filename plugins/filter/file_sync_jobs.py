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
import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any

_METHODS = ("rsync", "unison")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-.")


def file_sync_jobs(sites: Iterable[Mapping[str, Any]], method: str) -> list[dict[str, Any]]:
    """One job per directory of each site."""
    if method not in _METHODS:
        return []
    pairs = [(site, posixpath.normpath(root)) for site in sites for root in site.get("sync") or []]
    short = [_slug(f"{site['name']}-{posixpath.basename(root)}") for site, root in pairs]
    uses = collections.Counter(short)
    return [
        {
            "name": name if uses[name] == 1 else _slug(f"{site['name']}{root}"),
            "method": method,
            "user": site["user"],
            "root": root,
            "excludes": list(site.get("sync_excludes") or []),
        }
        for name, (site, root) in zip(short, pairs, strict=True)
    ]


class FilterModule:
    """Filters of playbooks/files.yml."""

    def filters(self) -> dict[str, Any]:
        return {"file_sync_jobs": file_sync_jobs}
