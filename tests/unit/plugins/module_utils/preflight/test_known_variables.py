# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of known variables is the only truth: playbooks, inventories and documentation agree with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.tandem.lemp.plugins.module_utils.preflight import sites
from ansible_collections.tandem.lemp.plugins.module_utils.preflight.variables import FREE_PREFIXES, KNOWN, as_markdown

ROOT = Path(__file__).resolve().parents[5]
PLAYBOOKS = sorted((ROOT / "playbooks").rglob("*.yml"))
VARIABLE = re.compile(r"\btandem_[a-z_]*[a-z]\b(?!\.)")
NO_VARIABLES = {
    "tandem_repl",
    "tandem_operator",
    "tandem_monitor",
    "tandem_database_primary", "tandem_updated_first",
    "tandem_database_replica",
    # Groups that a runbook makes while it runs.
    "tandem_backup_source",
    "tandem_backup_other",
    "tandem_restore_here",
    "tandem_restore_other",
    "tandem_database_unreached",
}


def known(name: str) -> bool:
    return name in KNOWN or name.startswith(FREE_PREFIXES)


def without_comments(path: Path) -> str:
    return re.sub(r"(?m)(^|\s)#.*$", "", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_playbooks_use_known_variables_only(playbook: Path) -> None:
    used = set(VARIABLE.findall(without_comments(playbook))) - NO_VARIABLES
    assert sorted(name for name in used if not known(name)) == []


def test_no_known_variable_is_without_use() -> None:
    used = {name for playbook in PLAYBOOKS for name in VARIABLE.findall(without_comments(playbook))}
    judged = {name for name in KNOWN if name.startswith("tandem_minimum_")} | {"tandem_unsupported_ok"}
    axes = {"tandem_traffic", "tandem_database", "tandem_web", "tandem_sql_proxy", "tandem_failback"}
    assert sorted(set(KNOWN) - used - judged - axes) == []


def inventories() -> list[Path]:
    return sorted(path.parent for path in (ROOT / "inventories").glob("*/hosts.yml"))


def variables_of(inventory: Path) -> set[str]:
    names: set[str] = set()
    for path in inventory.glob("group_vars/tandem/*.yml"):
        names |= set(yaml.safe_load(path.read_text(encoding="utf-8")))
    hosts: dict[str, Any] = yaml.safe_load((inventory / "hosts.yml").read_text(encoding="utf-8"))
    for values in hosts["tandem"]["hosts"].values():
        names |= set(values)
    return {name for name in names if name.startswith("tandem_")}


@pytest.mark.parametrize("inventory", inventories(), ids=lambda path: path.name)
def test_inventories_set_known_variables_only_and_all_that_are_required(inventory: Path) -> None:
    names = variables_of(inventory)
    assert sorted(name for name in names if not known(name)) == []
    assert sorted(name for name, variable in KNOWN.items() if variable.required and name not in names) == []


def test_the_example_for_real_servers_holds_nothing_but_what_a_user_must_decide() -> None:
    names = variables_of(ROOT / "inventories" / "keepalived_atlas")
    extra = {name for name in names if name in KNOWN and not KNOWN[name].required}
    assert extra <= {"tandem_outside_reference"}


def test_sites_may_hold_exactly_what_the_playbooks_read() -> None:
    text = "".join(without_comments(playbook) for playbook in PLAYBOOKS)
    used = set(re.findall(r"\bsite\.([a-z_]+)", text))
    text_of_filter = (ROOT / "plugins" / "filter" / "file_sync_jobs.py").read_text(encoding="utf-8")
    used |= set(re.findall(r"site(?:\.get\(|\[)[\"']([a-z_]+)", text_of_filter))
    for keys in re.findall(r"keep_keys\(target=\[([^\]]*)\]", text):
        used |= set(re.findall(r"'([a-z_]+)'", keys))
    web = (ROOT / "playbooks" / "web.yml").read_text(encoding="utf-8")
    listed = re.search(r"__nginx_keys:\n((?:\s+- [a-z_]+\n)+)", web)
    assert listed is not None
    used |= set(re.findall(r"- ([a-z_]+)", listed.group(1)))
    assert sorted(used) == sorted(sites.SITE_KEYS)


def test_applications_are_those_of_the_playbooks() -> None:
    values = yaml.safe_load((ROOT / "playbooks" / "vars" / "applications.yml").read_text(encoding="utf-8"))
    assert sorted(values["web_applications"]) == sorted(sites.APPLICATIONS)


def test_the_reference_is_up_to_date() -> None:
    written = (ROOT / "docs" / "variables.md").read_text(encoding="utf-8")
    assert written == as_markdown(), "run: python3 docs/write_variables.py"
