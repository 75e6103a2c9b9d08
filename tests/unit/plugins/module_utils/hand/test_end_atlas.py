# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An Atlas that hangs is ended by the hand, whatever else works on the node."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ansible_collections.tandem.lemp.plugins.module_utils.hand.actions import Actions
from ansible_collections.tandem.lemp.plugins.module_utils.hand.serve import Hand


def asked(tmp_path: Path, service: str) -> tuple[dict[str, Any], list[list[str]]]:
    """Without "begin": no operation is needed, and no lock taken."""
    ran: list[list[str]] = []
    config = SimpleNamespace(node=SimpleNamespace(name="node-a"), atlas_service=service)
    runner = SimpleNamespace(run=lambda argv, **_more: ran.append(argv))
    hand = Hand(Actions(config, runner), lambda _text: None, tmp_path / "journal", tmp_path / "lock")  # type: ignore[arg-type]
    said: list[str] = []
    hand.serve([json.dumps({"do": "end_atlas"})], said.append)
    assert not (tmp_path / "lock").exists()
    return json.loads(said[0]), ran


def test_it_is_killed(tmp_path: Path) -> None:
    """Anything milder would wait for a process that stands still."""
    reply, ran = asked(tmp_path, "atlas-main")
    assert reply == {"ok": True, "value": {"killed": "atlas-main"}}
    assert ran == [["systemctl", "kill", "--signal=KILL", "atlas-main"]]


def test_a_node_without_one(tmp_path: Path) -> None:
    reply, ran = asked(tmp_path, "")
    assert (reply["kind"], ran) == ("Refused", [])
    assert "has no Atlas" in reply["message"]
