# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the daemon is restarted, and what is forgotten where no agent runs."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLE = Path(__file__).resolve().parents[4] / "roles" / "health"
KEY = "/etc/tandem/heartbeat.key"


def templar(**known: Any) -> Templar:
    own = dict(DataLoader().load_from_file(str(ROLE / "vars" / "main.yml"), trusted_as_template=True))
    return Templar(loader=DataLoader(), variables={**own, **known})


def load(path: str) -> list[dict[str, Any]]:
    return [dict(each) for each in DataLoader().load_from_file(str(ROLE / path), trusted_as_template=True)]


@pytest.mark.parametrize(("changed", "at_once"), [([], 1), (["/etc/tandem/monitor.cnf"], 1), ([KEY], 0)])
def test_one_node_after_the_other_but_for_a_new_key(changed: list[str], at_once: int) -> None:
    restarts = [task for task in load("handlers/main.yml") if (task.get("ansible.builtin.systemd_service") or {}).get("state") == "restarted"]
    assert len(restarts) == 2
    for task in restarts:
        assert int(templar(__health_secrets={"changed_paths": changed}).template(task["throttle"])) == at_once


@pytest.mark.parametrize(("enabled", "there", "forgets"), [(True, True, False), (False, True, True), (False, False, False)])
def test_the_memory_of_an_agent_that_does_not_run_is_removed_after_the_restart(enabled: bool, there: bool, forgets: bool) -> None:
    tasks = load("tasks/service.yml")
    (forget,) = (task for task in tasks if (task.get("ansible.builtin.file") or {}).get("state") == "absent")
    flush = next((task for task in tasks if task.get("ansible.builtin.meta") == "flush_handlers"), {})
    assert tasks.index(flush) < tasks.index(forget)
    seen = {"stdout_lines": ["user /nonexistent:/usr/sbin/nologin", *(["agent-memory"] if there else [])]}
    known = templar(health_agent_enabled=enabled, __health_seen=seen)
    assert all(known.evaluate_conditional(one) for one in forget["when"]) is forgets
    configured = (ROLE / "templates" / "etc" / "tandem" / "health.json.j2").read_text(encoding="utf-8")
    paths = [Path(each) for each in known.template(forget["loop"])]
    assert {path.name for path in paths} == {"memory.0", "memory.1", "memory.json"}
    assert all(f'"directory": "{path.parent}"' in configured for path in paths)


@pytest.mark.parametrize("there", ["", "memory.0", "memory.1", "memory.json"])
def test_any_memory_of_an_agent_is_seen(tmp_path: Path, there: str) -> None:
    if there:
        (tmp_path / there).touch()
    (look,) = load("tasks/look.yml")
    memory = [str(tmp_path / name) for name in ("memory.0", "memory.1", "memory.json")]
    known = templar(health_agent_enabled=True, __health_user="root", __health_agent_memory=memory, __health_look=look["vars"]["__health_look"])
    seen = subprocess.run(known.template(look["ansible.builtin.command"]["argv"]), check=True, capture_output=True, text=True).stdout
    assert seen.splitlines()[1:] == (["agent-memory"] if there else [])


def test_the_agent_of_the_primary_is_switched_off_before_any_other() -> None:
    tasks = load("tasks/service.yml")
    flush = next((task for task in tasks if task.get("ansible.builtin.meta") == "flush_handlers"), {})
    (off,) = (task for task in tasks if task.get("ansible.builtin.import_tasks") == "switch_off.yml")
    assert tasks.index(off) < tasks.index(flush)
    seen = {"stdout_lines": ["agent-memory"]}
    for enabled in (True, False):
        known = templar(health_agent_enabled=enabled, __health_seen=seen, ansible_check_mode=False)
        assert all(known.evaluate_conditional(one) for one in off["when"]) is not enabled
    (restart,) = (task for task in load("tasks/switch_off.yml") if "ansible.builtin.systemd_service" in task)
    for status in (200, 503):
        assert templar(__health_primary={"status": status}).evaluate_conditional(restart["when"]) is (status == 200)


@pytest.mark.parametrize(
    ("seen", "changed", "makes"),
    [(["fault-file"], [], False), ([], [], True), (["fault-file"], ["/etc/tmpfiles.d/tandem-health.conf"], True)],
    ids=["nothing new", "after a reset", "an upgrade"],
)
def test_what_belongs_in_run_is_made_when_it_is_missing_or_described_anew(seen: list[str], changed: list[str], makes: bool) -> None:
    (make,) = (task for task in load("tasks/configure.yml") if "systemd-tmpfiles" in str(task.get("ansible.builtin.command")))
    known = templar(__health_seen={"stdout_lines": seen}, __health_written={"changed_paths": changed}, ansible_check_mode=False)
    assert all(known.evaluate_conditional(one) for one in make["when"]) is makes
    described = (ROLE / "templates" / "etc" / "tmpfiles.d" / "tandem-health.conf.j2").read_text(encoding="utf-8")
    assert "f /run/tandem/operation.lock 0640 root {{ __health_user }} -" in described
