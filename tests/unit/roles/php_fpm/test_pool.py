# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory says arrives in PHP as it is written, or is refused before anything is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLE = Path(__file__).resolve().parents[4] / "roles" / "php_fpm"
TEMPLATE = ROLE / "templates" / "etc" / "php" / "pool.d" / "tandem-site.conf.j2"
SITE = {"name": "shop", "user": "site-shop", "root": "/srv/www/shop", "php_port": 9001}


def load(path: str) -> Any:
    return DataLoader().load_from_file(str(ROLE / path), trusted_as_template=True)


def told(**more: Any) -> Templar:
    known = {**load("defaults/main.yml"), **load("vars/main.yml"), "php_fpm_listen_address": "192.0.2.11", "ansible_managed": "managed", **more}
    return Templar(loader=DataLoader(), variables=known)


def pool(**php: Any) -> list[str]:
    """The lines of the pool, as the role writes it."""
    text = told(item={**SITE, "php": php}).template(trust_as_template(TEMPLATE.read_text(encoding="utf-8")), escape_backslashes=False)
    return str(text).splitlines()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", '"plain"'),
        ('a"b"c', r'"a\"b\"c"'),
        ("back\\slash\\\\two", r'"back\\slash\\\\two"'),
        ("it's; #1 = [ok]", '''"it's; #1 = [ok]"'''),
        (5, '"5"'),
    ],
    ids=["plain", "quotes", "backslashes", "special", "number"],
)
def test_a_variable_of_the_environment(value: Any, written: str) -> None:
    assert f"env[DB_PASSWORD] = {written}" in pool(environment={"DB_PASSWORD": value})


def test_the_path_of_the_sessions() -> None:
    lines = pool(session_handler="redis", session_path='tcp://192.0.2.20:6379?auth=a"b;c')
    assert r'php_admin_value[session.save_path] = "tcp://192.0.2.20:6379?auth=a\"b;c"' in lines


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a;b", '"a;b"'),
        ('say "yes"', r'"say \"yes\""'),
        ("E_ALL & ~E_NOTICE", "E_ALL & ~E_NOTICE"),
        ("On", "On"),
        (True, "True"),
        ("128M", "128M"),
        ("/usr/sbin/sendmail -t -i -f me@example.com", "/usr/sbin/sendmail -t -i -f me@example.com"),
    ],
    ids=str,
)
def test_a_setting_is_quoted_where_it_would_be_cut(value: Any, written: str) -> None:
    assert f"php_admin_value[x.y] = {written}" in pool(settings={"x.y": value})


REFUSED = [
    ({"environment": {"DB_PASSWORD": "a${HOME}"}}, "environment DB_PASSWORD of site shop"),
    ({"environment": {"DB_PASSWORD": "$ecret"}}, "environment DB_PASSWORD of site shop"),
    ({"environment": {"DB_PASSWORD": "a$pool"}}, "environment DB_PASSWORD of site shop"),
    ({"environment": {"DB_PASSWORD": "a\nenv[B] = c"}}, "environment DB_PASSWORD of site shop"),
    ({"environment": {"DB_PASSWORD": ""}}, "environment DB_PASSWORD of site shop"),
    ({"settings": {"x.y": "a${HOME}"}}, "setting x.y of site shop"),
    ({"settings": {"x.y": '"exec,passthru"'}}, "setting x.y of site shop"),
    ({"session_path": "tcp://${HOST}"}, "session_path of site shop"),
    ({"session_path": '"tcp://192.0.2.20"'}, "session_path of site shop"),
]


@pytest.mark.parametrize(("php", "said"), REFUSED, ids=str)
def test_what_php_would_change_is_refused_before_anything_is_installed(php: dict[str, Any], said: str) -> None:
    task = load("tasks/preflight.yml")[0]
    sites = [{**SITE, "php": php}, {**SITE, "name": "news"}]
    found = told(php_fpm_sites=sites).template(task["vars"]["__php_fpm_unwritable"])
    assert found == [said]
    known = told(php_fpm_sites=sites, __php_fpm_unwritable=found)
    assert known.evaluate_conditional(task["ansible.builtin.assert"]["that"]) is False
    message = known.template(task["ansible.builtin.assert"]["fail_msg"])
    assert said in message and "ecret" not in message


TAKEN = {"environment": {"A": 'a"b\\c$5', "B": 5}, "settings": {"x.y": "a;b", "x.z": '"a" or "b", c'}, "session_path": "tcp://192.0.2.20"}


@pytest.mark.parametrize("php", [None, {}, TAKEN], ids=str)
def test_everything_else_is_taken(php: dict[str, Any] | None) -> None:
    task = load("tasks/preflight.yml")[0]
    assert told(php_fpm_sites=[{**SITE, "php": php}]).template(task["vars"]["__php_fpm_unwritable"]) == []


@pytest.mark.parametrize(("name", "taken"), [("shop", True), ("global-shop", True), ("global", False)])
def test_no_pool_has_the_name_of_what_is_no_pool(name: str, taken: bool) -> None:
    conditions = load("tasks/preflight.yml")[1]["ansible.builtin.assert"]["that"]
    known = told(php_fpm_sites=[{**SITE, "name": name}], __php_fpm_version="8.4")
    assert all(known.evaluate_conditional(condition) for condition in conditions) is taken
