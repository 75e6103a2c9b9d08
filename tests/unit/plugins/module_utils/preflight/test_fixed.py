# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables of one role that other parts rely on: moved alone they would take the pair down."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.tandem.lemp.plugins.module_utils.preflight import fixed, ports, sites
from ansible_collections.tandem.lemp.plugins.module_utils.preflight.variables import KNOWN

ROOT = Path(__file__).resolve().parents[5]


def faults(**variables: Any) -> list[str]:
    return [str(fault) for fault in fixed.check({"node-a": variables})]


@pytest.mark.parametrize("name", sorted(fixed.FIXED))
def test_what_has_to_stay_is_named_when_it_is_moved(name: str) -> None:
    (told,) = faults(**{name: 4567 if isinstance(fixed.FIXED[name], int) else "other"})
    assert told.startswith(f"node-a: {name} is ") and f"fixed at {fixed.FIXED[name]} in a pair" in told


def test_what_both_nodes_share_is_said_once() -> None:
    (told,) = fixed.check({"node-a": {"database_port": 3307}, "node-b": {"database_port": 3307}})
    assert told.where == "both nodes"


def test_the_value_that_it_has_anyway_may_be_written() -> None:
    assert faults(**fixed.FIXED) == []
    assert faults(database_port="3306", **{name: usual for name, (usual, _whose) in fixed.MOVABLE.items()}) == []


@pytest.mark.parametrize("name", sorted(fixed.NAMES - set(fixed.OVERWRITTEN) - set(fixed.PLACES)))
def test_the_list_agrees_with_the_defaults_of_the_roles(name: str) -> None:
    (default,) = (
        values[name]
        for path in (ROOT / "roles").glob("*/defaults/main.yml")
        if name in (values := yaml.safe_load(path.read_text(encoding="utf-8")))
    )
    usual = {**dict.fromkeys(fixed.OF_SSH, 22), **fixed.FIXED, **{name: port for name, (port, _whose) in fixed.MOVABLE.items()}}
    assert default == usual[name]


@pytest.mark.parametrize("name", sorted(fixed.OVERWRITTEN))
def test_what_the_playbooks_overwrite_is_refused_and_the_other_name_said(name: str) -> None:
    (told,) = faults(**{name: []})
    instead = fixed.OVERWRITTEN[name]
    remedy = f"Remove it, and set {instead}." if instead else "Remove it."
    assert told == f"node-a: {name} has no effect in the inventory: the playbooks set it themselves. {remedy}"
    assert not instead or instead in KNOWN
    assert any(re.search(rf"^ *{name}:", path.read_text(encoding="utf-8"), re.MULTILINE) for path in (ROOT / "playbooks").rglob("*.yml"))


def test_all_that_the_playbooks_say_of_atlas_is_named() -> None:
    said = yaml.safe_load((ROOT / "playbooks" / "vars" / "atlas.yml").read_text(encoding="utf-8"))
    assert set(said) == {name for name in fixed.OVERWRITTEN if name.startswith("atlas_")}
    assert said["atlas_reader_port"] == fixed.POOL_READER_PORT


@pytest.mark.parametrize("name", fixed.OF_SSH)
def test_the_port_of_sshd_is_set_once_for_all_parts(name: str) -> None:
    assert faults(tandem_ssh_port=2222) == faults(tandem_ssh_port=2222, **{name: "2222"}) == []
    (told,) = faults(**{name: 2222})
    assert told == f"node-a: {name} is 2222, and tandem_ssh_port is 22. Set tandem_ssh_port alone: every part takes it."
    assert f"{name}: \"{{{{ tandem_ssh_port | default(22) }}}}\"" in "".join(path.read_text(encoding="utf-8") for path in (ROOT / "playbooks").rglob("*.yml"))


def test_a_port_that_may_be_moved_is_moved_everywhere() -> None:
    moved = {"sql_proxy_writer_port": 16446, "tandem_inside_address": "198.51.100.11"}
    assert faults(**moved) == []
    assert [need.port for need in ports.needs(moved) if need.what == "HAProxy"] == [16446, 6447]
    site = {"name": "shop", "server_names": ["_"], "user": "site-shop", "root": "/srv/www/shop", "php_port": 16446}
    (told,) = sites.check({"node-a": {**moved, "tandem_sites": [site]}})
    assert "php_port 16446 is used by HAProxy" in str(told)
    known = yaml.safe_load((ROOT / "playbooks" / "vars" / "operations.yml").read_text(encoding="utf-8"))
    assert known["operations_proxy_port"] == "{{ sql_proxy_writer_port | default(6446) }}"


@pytest.mark.parametrize(
    ("given", "said"),
    [(6447, "used by"), (3306, "used by the database"), ("many", "no port"), (0, "no port"), (70000, "no port"), (None, "no port")],
)
def test_a_port_that_cannot_be_is_refused(given: Any, said: str) -> None:
    (told,) = faults(sql_proxy_writer_port=given)
    assert said in told
