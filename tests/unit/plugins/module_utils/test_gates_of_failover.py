# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each gate of a failover, with exactly one thing wrong at a time."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.decide import Node
from ansible_collections.tandem.lemp.plugins.module_utils.gates import Limits, SeenAlone, of_failover
from ansible_collections.tandem.lemp.plugins.module_utils.gtid import MARIADB, GtidSet
from ansible_collections.tandem.lemp.plugins.module_utils.state import (
    RUNNING,
    STOPPED,
    UNKNOWN,
    Replication,
    ServerState,
)

UUID = "11111111-2222-3333-4444-555555555555"
OLD_UUID = "66666666-7777-8888-9999-000000000000"


def survivor(engine: str = MARIADB, **changes: Any) -> Node:
    gtid = "0-1-100" if engine == MARIADB else f"{OLD_UUID}:1-100"
    told = Replication("192.0.2.1", io_running=True, sql_running=True, retrieved=gtid)
    server = ServerState(state=RUNNING, engine=engine, server_id=2, server_uuid=UUID, log_bin=True, read_only=True, gtid=gtid,
                         lineage="data", replication=told)  # fmt: skip
    return Node("node-b", "192.0.2.2", dataclasses.replace(server, **changes))


def old(**changes: Any) -> Node:
    server = ServerState(state=STOPPED, engine="", read_only=True)
    return Node("node-a", "192.0.2.1", dataclasses.replace(server, **changes))


def silent(alive: bool | None = False) -> dict[str, Any]:
    return {"path": "ssh port", "answer": "?", "alive": alive}


def closed(seen: SeenAlone, **said: bool) -> list[str]:
    """Names of the gates that say no."""
    words = {"peer_is_dead": False, "force_fence": False, "give_up_rescue": False, **said}
    return [gate.name for gate in of_failover(seen, limits=Limits(), **words) if not gate.passed]


def seen(new: Node | None = None, **changes: Any) -> SeenAlone:
    base = SeenAlone(new or survivor(), "node-a", (silent(),), old(), GtidSet.parse("0-1-100", MARIADB), "", 2**40)
    return dataclasses.replace(base, **changes)


def test_a_crashed_primary_with_nothing_more() -> None:
    assert closed(seen()) == []


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({"state": UNKNOWN}, "survivor-answers"),
        ({"read_only": False}, "survivor-is-closed"),
        ({"lineage": ""}, "data-of-the-pair"),
        ({"log_bin": False}, "binary-log"),
    ],
)
def test_an_unfit_survivor(changes: dict[str, Any], gate: str) -> None:
    assert closed(seen(survivor(**changes))) == [gate]


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({"sql_errno": 1062, "sql_error": "duplicate"}, ["relay-log"]),
        ({"sql_running": False, "retrieved": "0-1-101"}, ["relay-log"]),
        ({"sql_running": False}, []),
        ({"retrieved": "0-1-101"}, []),
    ],
)
def test_the_relay_log(changes: dict[str, Any], gate: list[str]) -> None:
    told = dataclasses.replace(survivor().server.replication, **changes)
    assert closed(seen(survivor(replication=told))) == gate


@pytest.mark.parametrize("free", [None, 0])
def test_a_full_disk(free: int | None) -> None:
    assert closed(seen(new_disk_free=free)) == ["disk"]


@pytest.mark.parametrize(
    ("alive", "said", "gate"),
    [(False, False, ["old-is-dead"]), (False, True, []), (None, True, []), (True, True, ["old-is-dead"]), (True, False, ["old-is-dead"])],
)
def test_death_needs_silence_and_a_word(alive: bool | None, said: bool, gate: list[str]) -> None:
    assert closed(seen(old=None, known=None, evidence=(silent(alive),)), peer_is_dead=said) == gate


def test_an_answer_and_a_word_of_death_do_not_fit() -> None:
    assert closed(seen(), peer_is_dead=True) == ["old-is-not-declared-dead"]


@pytest.mark.parametrize(("forced", "gate"), [(False, ["old-takes-no-writes"]), (True, [])])
def test_a_living_primary(forced: bool, gate: list[str]) -> None:
    living = old(state=RUNNING, engine=MARIADB, read_only=False, lineage="data")
    assert closed(seen(old=living), force_fence=forced) == gate


def test_other_data() -> None:
    assert closed(seen(old=old(state=RUNNING, engine=MARIADB, lineage="other"))) == ["data-of-the-pair"]


@pytest.mark.parametrize(("forced", "gate"), [(False, ["old-is-seen"]), (True, [])])
def test_a_primary_that_hangs(forced: bool, gate: list[str]) -> None:
    assert closed(seen(old=old(state=UNKNOWN), known=None), force_fence=forced) == gate


@pytest.mark.parametrize(("given_up", "gate"), [(False, ["old-data-are-known"]), (True, [])])
def test_a_binary_log_that_cannot_be_read(given_up: bool, gate: list[str]) -> None:
    assert closed(seen(known=None), give_up_rescue=given_up) == gate


@pytest.mark.parametrize(
    ("known", "here", "gate"),
    [
        ("0-1-105", "0-1-100", []),  # the old one has more
        ("0-1-100", "0-1-100,0-2-103", []),  # the survivor has more: it was the primary before
        ("0-1-105", "0-1-100,0-2-101", ["not-diverged"]),
        ("0-1-110", "0-1-100,0-2-120", ["not-diverged"]),  # its sequence is higher, which hides nothing
        ("0-1-100", "0-2-120", []),  # the survivor was made by a copy, and does not list who wrote before
        ("0-1-105", "0-1-100,0-7-50", []),  # an older server that the old one has forgotten
    ],
)
def test_divergence(known: str, here: str, gate: list[str]) -> None:
    assert closed(seen(survivor(gtid=here), known=GtidSet.parse(known, MARIADB))) == gate


@pytest.mark.parametrize(
    ("state", "known", "here", "gate"),
    [
        (RUNNING, f"{OLD_UUID}:1-105", f"{OLD_UUID}:1-100,{UUID}:1", ["not-diverged"]),
        # Read from files, after a clone: 1-41 of the survivor are in a table of the old one only.
        (STOPPED, f"{OLD_UUID}:1-105,{UUID}:42-50", f"{OLD_UUID}:1-100,{UUID}:1-50", []),
        (STOPPED, f"{OLD_UUID}:1-105,{UUID}:42-50", f"{OLD_UUID}:1-100,{UUID}:1-51", ["not-diverged"]),
        (STOPPED, f"{OLD_UUID}:1-105", f"{OLD_UUID}:1-100,{UUID}:1-41", []),
    ],
)
def test_divergence_on_mysql(state: str, known: str, here: str, gate: list[str]) -> None:
    told = Replication("192.0.2.1", io_running=True, sql_running=True, retrieved=f"{OLD_UUID}:1-100")
    new = survivor("mysql", gtid=here, replication=told)
    other = old(state=state, engine="mysql", lineage="data")
    assert closed(seen(new, old=other, known=GtidSet.parse(known, "mysql"))) == gate
