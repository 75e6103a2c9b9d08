# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGTERM ends a hand that is idle at once, and one that works when its work is done."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.hand.serve import Hand

HELLO, LOOK, BEGIN, ACT, END = (
    json.dumps(request)
    for request in (
        {"do": "hello"},
        {"do": "executed"},
        {"do": "begin", "with": {"operation": "20261122-1"}},
        {"do": "hold"},
        {"do": "end", "with": {"outcome": "done"}},
    )
)
TERM = "SIGTERM"


def terminate() -> None:
    signal.raise_signal(signal.SIGTERM)


@pytest.fixture(name="asked")
def fixture_asked(tmp_path: Path) -> Iterator[Any]:
    """asked(requests, strikes): how many were answered, and whether it left. TERM among requests: the signal comes while it waits."""

    def asked(*requests: str, strikes: str = "") -> tuple[int, bool]:
        def doing(name: str) -> Any:
            return terminate if name == strikes else lambda: None

        actions = SimpleNamespace(config=SimpleNamespace(node=SimpleNamespace(name="node-a")), executed=doing("executed"), hold=doing("hold"))
        hand = Hand(actions, lambda _text: None, tmp_path / "journal", tmp_path / "lock")  # type: ignore[arg-type]
        signal.signal(signal.SIGTERM, lambda _number, _frame: hand.leave())

        def said() -> Iterator[str]:
            for request in requests:
                if request == TERM:
                    terminate()
                else:
                    yield request

        answers: list[str] = []
        try:
            hand.serve(said(), answers.append)
        except SystemExit as ended:
            assert ended.code == 0
            return len(answers), True
        return len(answers), len(answers) < sum(request != TERM for request in requests)

    before = signal.getsignal(signal.SIGTERM)
    yield asked
    signal.signal(signal.SIGTERM, before)


def test_an_idle_one_ends_at_once(asked: Any) -> None:
    assert asked(HELLO, LOOK, TERM, LOOK) == (2, True)


def test_what_was_asked_is_answered_first(asked: Any) -> None:
    assert asked(HELLO, LOOK, LOOK, strikes="executed") == (2, True)


def test_an_operation_goes_on_to_its_end(asked: Any) -> None:
    assert asked(HELLO, BEGIN, TERM, ACT, END, LOOK) == (4, True)
    assert asked(HELLO, BEGIN, ACT, ACT, END, LOOK, strikes="hold") == (5, True)


def test_without_a_signal_it_stays(asked: Any) -> None:
    assert asked(HELLO, BEGIN, ACT, END, LOOK) == (5, False)
