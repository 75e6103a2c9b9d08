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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every kind with its seeds, or the one run that was asked for."""
    kind, _colon, number = metafunc.config.getoption("--seed").partition(":")
    cases = [(kind, [int(number)], True)] if kind else [(kind, list(range(FIRST, FIRST + RUNS)), False) for kind in KINDS]
    metafunc.parametrize(("kind", "seeds", "verbose"), cases, ids=[case[0] for case in cases])


def test_never_two_writers_nothing_lost_and_a_pair_again(kind: str, seeds: list[int], verbose: bool) -> None:
    for seed in seeds:
        run(kind, seed, verbose=verbose)
