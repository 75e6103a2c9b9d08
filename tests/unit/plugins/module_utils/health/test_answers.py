# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commits that wait for ever although a replica is connected and in step: seen after an inside network that lost one direction."""

from __future__ import annotations

from ansible_collections.tandem.lemp.plugins.module_utils.health.database import (
    ANSWER_WITHIN,
    Answers,
    semi_sync_clients,
)


def rows(waiting: int, answered: int, clients: int = 1) -> list[dict[str, str]]:
    values = {"status": "ON", "clients": str(clients), "wait_sessions": str(waiting), "yes_tx": str(answered)}
    return [{"Variable_name": f"Rpl_semi_sync_master_{name}", "Value": value} for name, value in values.items()]


def looks(*seen: tuple[float, list[dict[str, str]]]) -> list[bool]:
    now = [0.0]
    answers = Answers(lambda: now[0])
    found = []
    for moment, counters in seen:
        now[0] = moment
        found.append(answers.given(counters))
    return found


def test_a_commit_that_nobody_answers_is_noticed() -> None:
    assert looks((0, rows(1, 7)), (ANSWER_WITHIN - 0.1, rows(1, 7)), (ANSWER_WITHIN, rows(1, 7))) == [True, True, False]


def test_how_many_could_confirm_is_counted_or_not_known() -> None:
    assert semi_sync_clients(rows(0, 7, clients=2)) == 2
    assert semi_sync_clients([]) is None


def test_a_busy_primary_always_has_commits_that_wait() -> None:
    assert all(looks(*((float(moment), rows(3, moment)) for moment in range(20))))


def test_an_idle_primary_is_answered() -> None:
    assert all(looks(*((float(moment), rows(0, 7)) for moment in range(20))))


def test_an_answer_ends_it() -> None:
    end = ANSWER_WITHIN + 1
    assert looks((0, rows(1, 7)), (end, rows(1, 7)), (end + 1, rows(1, 8)), (end + 2, rows(0, 8))) == [True, False, True, True]


def test_without_a_replica_nobody_answers() -> None:
    assert looks((0, rows(0, 7, clients=0))) == [False]


def test_commits_that_wait_in_vain_are_told_from_a_server_that_waits_for_nobody() -> None:
    now = [0.0]
    answers = Answers(lambda: now[0])
    found = []
    for moment, counters in ((0, rows(0, 7, 0)), (5, rows(2, 7, 0)), (5 + ANSWER_WITHIN, rows(2, 7, 0)), (9, rows(0, 7, 0))):
        now[0] = moment
        answers.given(counters)
        found.append(answers.in_vain)
    assert found == [False, False, True, False]
