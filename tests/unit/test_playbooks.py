# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks do without the ansible.cfg of this checkout: who has installed the collection has none of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

PLAYBOOKS = sorted((Path(__file__).resolve().parents[2] / "playbooks").glob("*.yml"))


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.name)
def test_each_play_says_whether_a_fault_on_one_node_ends_it(playbook: Path) -> None:
    plays = [play for play in yaml.safe_load(playbook.read_text(encoding="utf-8")) if play.get("hosts", "localhost") != "localhost"]
    assert [play["name"] for play in plays if "any_errors_fatal" not in play] == []
