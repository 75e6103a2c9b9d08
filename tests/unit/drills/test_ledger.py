# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge of the random drills: it has to be able to condemn."""

from __future__ import annotations

import random
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "drills"))

import drill_report
import ledger
from catalogue import FAULTS
from ledger import Event
from random_drill import deck

NODES = ("server1", "server2")


def write(number: int, begun: float, what: str = "sql", outcome: str = "ok") -> Event:
    return Event(what, begun, begun + 0.005, outcome, str(number), "server1")


def looks(node: str, begin: float, end: float, word: str) -> list[Event]:
    return [Event("look", moment / 100, moment / 100 + 0.001, word, "", node) for moment in range(round(begin * 100), round(end * 100))]


def failover(two_from: float = 1.1) -> tuple[list[Event], dict[str, str]]:
    """server1 takes writes until 1.0, server2 from 1.1 on."""
    first = [write(number, number / 100) for number in range(99)]
    second = [write(100 + number, 1.1 + number / 100) for number in range(90)]
    events = [*first, *second, *looks("server1", 0, 1, "open"), *looks("server1", 1, 2, "closed")]
    events += [*looks("server2", 0, two_from, "closed"), *looks("server2", two_from, 2, "open")]
    taken = {event.number: "server1" for event in first} | {event.number: "server2" for event in second}
    return events, taken


def judged(events: list[Event], taken: dict[str, str], missing: str = "", twice: str = "") -> ledger.Verdict:
    rows = {node: Counter({number: 1 for number in taken if number != missing}) for node in NODES}
    if twice:
        rows["server2"][twice] += 1
    return ledger.judge(events, rows, taken, 0.9, 2.0)


def test_a_failover_in_order_is_acquitted() -> None:
    verdict = judged(*failover())
    assert verdict.acknowledged == 189
    assert not any(verdict.lost.values()) and not any(verdict.duplicated.values())
    assert verdict.both_open == verdict.both_acknowledged == 0
    assert verdict.writes_out == pytest.approx(0.12, abs=0.001)


def test_a_lost_write_and_a_second_copy_are_found() -> None:
    events, taken = failover()
    assert judged(events, taken, missing="7").lost == {"server1": ["7"], "server2": ["7"]}
    verdict = judged(events, taken, twice="8")
    assert verdict.duplicated["server2"] == ["8"] and verdict.unequal == 1


def test_what_was_not_acknowledged_may_be_missing() -> None:
    events, taken = failover()
    events.append(write(999, 1.5, outcome="timeout"))
    assert not any(judged(events, taken).lost.values())


def test_two_open_databases_are_found() -> None:
    assert judged(*failover(two_from=0.8)).both_open == pytest.approx(0.2, abs=0.03)


def test_two_servers_that_acknowledge_at_once_are_found() -> None:
    events, taken = failover()
    late = [write(500 + number, 1.0 + number / 100) for number in range(50)]
    taken |= {event.number: "server1" for event in late}
    assert judged([*events, *late], taken).both_acknowledged == pytest.approx(0.4, abs=0.05)


def test_a_write_that_waited_in_a_queue_is_no_second_writer() -> None:
    events, taken = failover()
    waited = Event("sql", 0.95, 1.2, "ok", "700", "server1")
    assert judged([*events, waited], {**taken, "700": "server2"}).both_acknowledged == 0


def test_a_seed_draws_the_same_again() -> None:
    names = list(FAULTS)
    cards = deck("x", names, 50)
    assert cards == deck("x", names, 50) and cards[:23] == deck("x", names, 23)
    assert set(cards[: len(names)]) == set(names)
    for fault in FAULTS.values():
        one, two = (fault.draw(random.Random("x/1"), "server2") for _time in range(2))
        assert one == two
        assert one.victim in NODES and fault.hold[0] <= one.hold <= fault.hold[1]


def test_the_report_shows_the_words_of_nodes_as_text() -> None:
    run = {
        "number": 1, "fault": "kill_nginx", "victim": "server1", "role": "primary", "moment": 0.5, "moved": False, "rejoin": None, "verdict": {},
        "problems": ["<b>lost</b>"], "remarks": [], "notes": [], "decisions": ["a < b"],
    }  # fmt: skip
    text = drill_report.page({"seed": "s", "lab": "l", "begun": "now", "aborted": ""}, [run])
    assert "<b>lost" not in text and "&lt;b&gt;lost" in text and "a &lt; b" in text
    assert drill_report.figures([run])["problems"] == 1


def test_a_number_that_both_nodes_lack_is_one_lost_write() -> None:
    assert drill_report.count({"verdict": {"lost": {"server1": ["7"], "server2": ["7", "8"]}}}, "lost") == 2
