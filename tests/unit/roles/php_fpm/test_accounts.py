# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site takes nobody's account, and an account that is its own stays where it lives."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLE = Path(__file__).resolve().parents[4] / "roles" / "php_fpm"


def load(path: str) -> Any:
    return DataLoader().load_from_file(str(ROLE / path), trusted_as_template=True)


def told(*lines: str, **more: Any) -> Templar:
    """getent has said these lines."""
    known = {"__php_fpm_accounts": {"stdout_lines": list(lines)}, "inventory_hostname": "node-a", **more}
    return Templar(loader=DataLoader(), variables={**load("vars/main.yml"), **known})


@pytest.mark.parametrize(
    ("lines", "refused"),
    [
        ((), []),
        (("site-shop:x:990:990:Site shop:/var/lib/tandem/sites/shop:/bin/sh",), []),
        (("anna:x:1000:1000:Anna,,,:/home/anna:/bin/bash", "site-shop:x:990:990::/var/lib/tandem/sites/shop:/bin/sh"), ["anna (home /home/anna)"]),
        (("odd:x:991:991::/var/lib/tandem/sites-old/odd:/bin/sh",), ["odd (home /var/lib/tandem/sites-old/odd)"]),
    ],
)
def test_an_account_that_is_somebody_elses_is_refused(lines: tuple[str, ...], refused: list[str]) -> None:
    task = next((each for each in load("tasks/accounts.yml") if "__php_fpm_others" in each.get("vars", {})), {})
    others = told(*lines).template(task["vars"]["__php_fpm_others"])
    assert others == refused
    condition = task["ansible.builtin.assert"]["that"]
    assert told(*lines, __php_fpm_others=others).evaluate_conditional(condition) is (refused == [])


@pytest.mark.parametrize(
    ("owners", "refused"),
    [
        ((), []),
        (("site-shop",), []),
        (("root",), []),
        (("site-old",), ["site-old"]),
        (("UNKNOWN",), ["UNKNOWN"]),
    ],
)
def test_a_site_gets_no_other_user_while_its_files_are_the_former_ones(owners: tuple[str, ...], refused: list[str]) -> None:
    lines = ["site-shop:x:990:990:Site shop:/var/lib/tandem/sites/shop:/bin/sh:*", "owner news site-news", *(f"owner shop {owner}" for owner in owners)]
    sites = [{"name": "shop", "user": "site-shop"}]
    task = next((each for each in load("tasks/accounts.yml") if "__php_fpm_moved" in each.get("vars", {})), {})
    moved = told(*lines, php_fpm_sites=sites).template(task["vars"]["__php_fpm_moved"])
    assert [each["owner"] for each in moved] == refused
    known = told(*lines, php_fpm_sites=sites, __php_fpm_moved=moved)
    assert known.evaluate_conditional(task["ansible.builtin.assert"]["that"]) is (refused == [])
    said = known.template(task["ansible.builtin.assert"]["fail_msg"])
    assert not refused or f"node-a: site shop shall run as site-shop, and /var/lib/tandem/sites/shop is {refused[0]}'s." in said
    assert known.template(load("vars/main.yml")["__php_fpm_right_users"]) == ["site-shop"]


def test_the_look_says_whose_the_sites_directories_are(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    look = load("tasks/accounts.yml")[0]["vars"]["__php_fpm_look"]
    for directory, expected in ((tmp_path, [f"owner shop {tmp_path.owner()}"]), (tmp_path / "nowhere", [])):
        done = subprocess.run(["sh", "-c", look, "look", str(directory), "nobody-yet"], check=True, capture_output=True, text=True)
        assert done.stdout.splitlines() == expected


def test_it_is_refused_before_anything_is_installed() -> None:
    order = [task["ansible.builtin.import_tasks"] for task in load("tasks/main.yml")]
    assert order.index("accounts.yml") < order.index("install.yml") < order.index("users.yml")


def test_the_home_of_an_account_that_is_there_stays() -> None:
    """A site that got another name keeps its account as it is: its pool is running."""
    (task,) = load("tasks/users.yml")
    home = task["ansible.builtin.user"]["home"]
    item = {"name": "store", "user": "site-shop"}
    assert told("site-shop:x:990:990::/var/lib/tandem/sites/shop:/bin/sh", item=item).template(home) == "/var/lib/tandem/sites/shop"
    assert told(item=item).template(home) == "/var/lib/tandem/sites/store"
