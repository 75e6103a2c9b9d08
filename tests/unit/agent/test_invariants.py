# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random faults, the invariants after every event, and a pair again when all is healed.

TANDEM_AGENT_RUNS: how many runs of each kind (default 6). TANDEM_AGENT_FIRST: the first seed (default 1).
A failure prints its seed; pytest tests/unit/agent --seed KIND:NUMBER -s replays that run alone, with its events.
"""

from __future__ import annotations

import os

import pytest

from .schedule import KINDS, run

FIRST = int(os.environ.get("TANDEM_AGENT_FIRST", "1"))
RUNS = int(os.environ.get("TANDEM_AGENT_RUNS", "6"))


@pytest.mark.parametrize("kind", KINDS)
def test_never_two_writers_nothing_lost_and_a_pair_again(kind: str, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--seed"):
        pytest.skip("one seed is replayed")
    for seed in range(FIRST, FIRST + RUNS):
        run(kind, seed)


def test_replay(request: pytest.FixtureRequest) -> None:
    seed = request.config.getoption("--seed")
    if not seed:
        pytest.skip("no --seed")
    kind, _colon, number = seed.partition(":")
    run(kind, int(number), verbose=True)
