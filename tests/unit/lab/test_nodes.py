# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a node of the lab is made: it may do what a machine may, also where its host confines containers."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lab"))

import nodes


@pytest.mark.parametrize("node", ["server1", "client"])
def test_no_profile_of_the_host_confines_a_node(monkeypatch: pytest.MonkeyPatch, node: str) -> None:
    said: list[tuple[str, ...]] = []
    monkeypatch.setattr(nodes, "podman", lambda *words, **_more: said.append(words) or "")
    nodes._create_node(nodes.Lab("unit", 99), node, "image")
    (made,) = (words for words in said if words[0] == "create")
    options = [value for option, value in itertools.pairwise(made) if option == "--security-opt"]
    assert options == ["apparmor=unconfined", "unmask=/proc/sys"]
