# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After an upgrade of the distribution the former php-fpm gives the ports of the pools away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLE = Path(__file__).resolve().parents[4] / "roles" / "php_fpm"
OURS = ["/etc/php/8.2/fpm/pool.d/00-tandem-global.conf", "/etc/php/8.2/fpm/pool.d/tandem-shop.conf"]
PRESENT = ["/etc/php/8.4/fpm/pool.d/00-tandem-global.conf", "/etc/php/8.4/fpm/pool.d/tandem-shop.conf", "/etc/php/8.2/fpm/php-fpm.conf"]


def load(path: str) -> Any:
    return DataLoader().load_from_file(str(ROLE / path), trusted_as_template=True)


def seen(**more: Any) -> Templar:
    """On Debian 13."""
    facts = {"distribution": "Debian", "distribution_major_version": "13", "os_family": "Debian"}
    known = {**load("vars/main.yml"), "ansible_facts": facts, "php_fpm_extensions": [], "ansible_check_mode": False, **more}
    return Templar(loader=DataLoader(), variables=known)


@pytest.mark.parametrize(
    ("found", "stopped", "removed", "reloaded"),
    [
        (OURS, ["8.2"], OURS, []),
        ([*OURS, "/etc/php/8.2/fpm/pool.d/www.conf"], [], OURS, ["8.2"]),
        (["/etc/php/8.2/fpm/pool.d/www.conf"], [], [], []),
        ([], [], [], []),
    ],
)
def test_pools_of_the_sites_leave_the_former_version(found: list[str], stopped: list[str], removed: list[str], reloaded: list[str]) -> None:
    one = seen(__php_fpm_found={"files": [{"path": path} for path in PRESENT + found]})
    _look, stop, remove, reload = load("tasks/other_versions.yml")
    assert [list(one.template(task["loop"])) for task in (stop, remove, reload)] == [stopped, removed, reloaded]


@pytest.mark.parametrize(
    ("running", "looks"),
    [({}, True), ({"base_running": ["nginx", "php8.4-fpm"]}, False), ({"base_running": ["php8.2-fpm"]}, True), ({"base_running": []}, False)],
)
def test_it_is_looked_for_where_another_version_may_run_and_before_the_reload(running: dict[str, Any], looks: bool) -> None:
    tasks = load("tasks/service.yml")
    assert tasks[0]["ansible.builtin.import_tasks"] == "other_versions.yml" and tasks[-1]["ansible.builtin.meta"] == "flush_handlers"
    assert seen(**running).evaluate_conditional(tasks[0]["when"]) is looks


@pytest.mark.parametrize(("running", "at_once"), [({}, 1), ({"base_running": ["php8.4-fpm"]}, 1), ({"base_running": []}, 0)])
def test_packages_that_restart_php_come_to_one_node_after_the_other(running: dict[str, Any], at_once: int) -> None:
    (install,) = load("tasks/install.yml")
    assert int(seen(**running).template(install["throttle"])) == at_once
