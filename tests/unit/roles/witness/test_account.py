# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that is the witness of two pairs: the second one must not take the account of the first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROOT = Path(__file__).resolve().parents[4]
ROLE = ROOT / "roles" / "witness"
PROGRAM = "/usr/local/lib/tandem/witness"


def admitted(nodes: list[str]) -> str:
    """authorized_keys as the role writes it."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.filters.update(comment="# {}".format, quote=str)
    template = environment.from_string((ROLE / "templates" / "home" / ".ssh" / "authorized_keys.j2").read_text(encoding="utf-8"))
    keys = [{"node": node, "key": f"ssh-ed25519 AAAA tandem-witness {node}"} for node in nodes]
    return template.render(witness_keys=keys, ansible_managed="managed", __witness_program=PROGRAM, __witness_home="/var/lib/tandem-witness")


def strangers(text: str, nodes: list[str]) -> Any:
    (task,) = (each for each in DataLoader().load_from_file(str(ROLE / "tasks" / "account.yml"), trusted_as_template=True) if "vars" in each)
    known = {"witness_keys": [{"node": node} for node in nodes], "__witness_admitted": {"stdout": text}, "__witness_program": PROGRAM}
    return Templar(loader=DataLoader(), variables={**known, **task["vars"]}).template(task["vars"]["__witness_strangers"])


@pytest.mark.parametrize(
    ("before", "found"),
    [([], []), (["node-a", "node-b"], []), (["node-a"], []), (["node-a", "other-b"], ["other-b"]), (["other-a", "other-b"], ["other-a", "other-b"])],
)
def test_nodes_of_another_pair_are_found(before: list[str], found: list[str]) -> None:
    assert strangers(admitted(before), ["node-a", "node-b"]) == found


def test_nothing_is_changed_before_that() -> None:
    first = yaml.safe_load((ROLE / "tasks" / "main.yml").read_text(encoding="utf-8"))[0]
    assert first["ansible.builtin.import_tasks"] == "account.yml"
    plays = yaml.safe_load((ROOT / "playbooks" / "preflight.yml").read_text(encoding="utf-8"))
    assert plays[-1]["tasks"][-1]["ansible.builtin.include_role"]["tasks_from"] == "account"
