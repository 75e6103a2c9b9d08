# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever builds the collection where a pair's inventory is gives away none of its secrets."""

from __future__ import annotations

import fnmatch
from pathlib import Path

import pytest
import yaml

IGNORED = yaml.safe_load((Path(__file__).resolve().parents[2] / "galaxy.yml").read_text(encoding="utf-8"))["build_ignore"]


def left_out(path: str) -> bool:
    """As ansible-galaxy: a directory that matches is left out with all that is in it."""
    parts = path.split("/")
    return any(fnmatch.fnmatch("/".join(parts[: count + 1]), pattern) for count in range(len(parts)) for pattern in IGNORED)


@pytest.mark.parametrize(
    "path",
    [
        ".tandem/secrets/operator",
        "inventories/yours/.tandem/pki/ca.key",
        "inventories/keepalived_atlas/.tandem/pki/ca.key",
        "inventories/yours/group_vars/tandem/secrets.yml",
        "inventories/lab/hosts.yml",
    ],
)
def test_what_belongs_to_one_pair_is_left_out(path: str) -> None:
    assert left_out(path)


@pytest.mark.parametrize("path", ["inventories/keepalived_atlas/group_vars/tandem/main.yml", "playbooks/site.yml", "site.yml", "docs/trouble.md"])
def test_what_everybody_needs_is_packed(path: str) -> None:
    assert not left_out(path)
