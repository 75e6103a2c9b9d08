# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters arrive as they are written, or are refused; and they may be secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLE = Path(__file__).resolve().parents[4] / "roles" / "nginx"


def load(path: str) -> Any:
    return DataLoader().load_from_file(str(ROLE / path), trusted_as_template=True)


def found(*params: dict[str, Any] | None) -> Any:
    task = next((each for each in load("tasks/preflight.yml") if "__nginx_unwritable" in each.get("vars", {})), {})
    sites = [{"name": f"site{number}", "params": each} for number, each in enumerate(params)]
    known = {**load("vars/main.yml"), "nginx_sites": sites}
    return Templar(loader=DataLoader(), variables=known).template(task["vars"]["__nginx_unwritable"])


@pytest.mark.parametrize("value", ["a$b", 'a"b', "a\\b", "a\nb", "a\x00b"], ids=ascii)
def test_what_nginx_would_read_otherwise_is_refused(value: str) -> None:
    assert found({"FINE": "x"}, {"SECRET": value}) == ["params SECRET of site site1"]


def test_everything_else_is_taken() -> None:
    assert found(None, {}, {"A": "it's; {x} #1", "B": 5}) == []


@pytest.mark.parametrize(("params", "mode", "sensitive"), [({"KEY": "x"}, "0640", True), ({}, "0644", False), (None, "0644", False)], ids=str)
def test_a_site_with_parameters_is_read_by_root_only_and_not_shown(params: dict[str, Any] | None, mode: str, sensitive: bool) -> None:
    source = load("tasks/configure.yml")[0]["vars"]["__nginx_of_sites"]
    known = {"nginx_sites": [{"name": "shop", "params": params}]}
    lookup = "lookup('ansible.builtin.template', 'etc/nginx/sites-enabled/tandem-site.conf.j2', template_vars={'item': site})"
    assert lookup in source
    (entry,) = Templar(loader=DataLoader(), variables=known).template(trust_as_template(source.replace(lookup, "'text'")))
    assert (entry["mode"], entry["sensitive"]) == (mode, sensitive)
