# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schema `test` that comes with a server goes, and nobody's data with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

TASKS = Path(__file__).resolve().parents[4] / "roles" / "database" / "tasks" / "accounts_one_by_one.yml"


def removal() -> dict[str, Any]:
    (block,) = DataLoader().load_from_file(str(TASKS), trusted_as_template=True)
    (found,) = (task for task in block["block"] if task.get("community.mysql.mysql_db", {}).get("state") == "absent")
    return dict(found)


@pytest.mark.parametrize(
    ("things", "site", "goes"),
    [(0, "blog", True), (1, "blog", False), (0, "test", False), (1, "test", False)],
)
def test_only_an_empty_schema_that_is_no_sites_goes(things: int, site: str, goes: bool) -> None:
    known = {"__database_test": {"query_result": [[{"things": things}]]}, "database_sites": [{"name": site}]}
    conditions = removal().get("when", [])
    assert all(Templar(loader=DataLoader(), variables=known).evaluate_conditional(one) for one in conditions) is goes
