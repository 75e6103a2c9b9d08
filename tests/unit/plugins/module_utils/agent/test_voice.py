# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is counted, and what people are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent.voice import Voice

Make = Callable[[], Voice]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Voice] = []

    def one() -> Voice:
        made.append(Voice("node-a", str(tmp_path), (), dict))
        return made[-1]

    yield one
    for voice in made:
        voice.close()


def test_a_change_of_the_primary_is_counted_and_nothing_else(make: Make) -> None:
    voice = make()
    for name in ("", "node-b", "node-b", "", "node-b"):  # it goes alone, and has a replica again
        voice.writer(name)
    assert voice.counters["primary_changes"] == 0
    for name in ("node-a", "node-a", "node-b"):
        voice.writer(name)
    assert voice.counters["primary_changes"] == 2
