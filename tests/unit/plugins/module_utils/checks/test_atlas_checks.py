# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A healthy Atlas passes its checks; each fault is named by the checks that it concerns, and no others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.atlas.admin import RO, RW, Backend
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.client import Answer, How
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.probe import Look
from ansible_collections.tandem.lemp.plugins.module_utils.checks.atlas import AtlasFile, AtlasSeen, read_file
from ansible_collections.tandem.lemp.plugins.module_utils.checks.judge import judge, merge
from ansible_collections.tandem.lemp.plugins.module_utils.checks.model import Context, Row, Seen
from ansible_collections.tandem.lemp.plugins.module_utils.decide import Node
from ansible_collections.tandem.lemp.plugins.module_utils.inspection import SILENT, Inspection
from ansible_collections.tandem.lemp.plugins.module_utils.pair import see
from ansible_collections.tandem.lemp.plugins.module_utils.state import UNKNOWN, ServerState

WRITER, READER = ("127.0.0.1:6446", RW), ("127.0.0.1:6448", RO)
BACKENDS = (Backend(1, WRITER[0], "up", RW), Backend(2, READER[0], "up", RO))
OK, NO = Answer(How.OK), Answer(How.REFUSED, "Connection refused")
HANGS = Answer(How.SILENT, "no greeting within 3 s")
WELL = AtlasSeen(Look(OK, BACKENDS, 1, OK, {WRITER: OK, READER: OK}, OK, OK), (WRITER, READER), AtlasFile("", False, "utf8mb4"))


def rows(atlas: AtlasSeen | None, here: str = "server1") -> dict[str, str]:
    return {row.check: row.state for row in judged(atlas, here)}


def judged(atlas: AtlasSeen | None, here: str = "server1") -> list[Row]:
    """The rows about Atlas, of a pair whose databases are silent: these need none."""
    state, more = ServerState(state=UNKNOWN, reason="timed out"), Inspection(access=SILENT, reason="timed out")
    nodes = {name: Node(name, "192.0.2.11", state) for name in ("server1", "server2")}
    there = "server2" if here == "server1" else "server1"
    pair = see((nodes[here], nodes[there]), dict.fromkeys(nodes, more))
    context = Context(Seen(nodes[here], more), Seen(nodes[there], more), pair, atlas=atlas)
    found = [row for row in judge(context) if row.check.startswith("atlas-")]
    assert all(row.nodes == (here,) for row in found), "of the other node nothing is said"
    return found


def wrong(atlas: AtlasSeen) -> dict[str, str]:
    return {check: state for check, state in rows(atlas).items() if state != "pass"}


def test_there_are_no_rows_where_there_is_none() -> None:
    assert rows(None) == {}


def test_a_healthy_one_passes_everything() -> None:
    assert len(rows(WELL)) == 9
    assert wrong(WELL) == {}


def look(**changes: object) -> Callable[[], AtlasSeen]:
    return lambda: replace(WELL, look=replace(WELL.look, **changes))  # type: ignore[arg-type]


def backend(place: int, state: str) -> Callable[[], AtlasSeen]:
    return look(backends=tuple(replace(one, state=state) if one.index == place else one for one in BACKENDS))


def file(**changes: object) -> Callable[[], AtlasSeen]:
    return lambda: replace(WELL, file=replace(WELL.file, **changes))  # type: ignore[arg-type]


UNASKED = Answer()
BLIND = {"atlas-admin": "fail", "atlas-account": "unknown", "atlas-backends": "unknown", "atlas-up": "unknown"}
FAULTS: dict[str, tuple[Callable[[], AtlasSeen], dict[str, str]]] = {
    "dead": (
        look(admin=NO, backends=(), users=None, login=NO, reads=UNASKED, writes=UNASKED),
        {**BLIND, "atlas-answers": "fail", "atlas-passes": "unknown"},
    ),
    "frozen": (look(login=HANGS, reads=UNASKED, writes=UNASKED), {"atlas-answers": "fail", "atlas-passes": "unknown"}),
    "admin port silent": (look(admin=HANGS, backends=(), users=None), BLIND),
    "two accounts": (look(users=2), {"atlas-account": "fail"}),
    "no account": (look(users=0), {"atlas-account": "fail"}),
    "a backend too many": (look(backends=(*BACKENDS, Backend(3, "192.0.2.9:3306", "up", RO))), {"atlas-backends": "fail"}),
    "no reader": (look(backends=BACKENDS[:1]), {"atlas-backends": "fail", "atlas-up": "warn"}),
    "writer offline": (backend(1, "offline"), {"atlas-up": "fail"}),
    "reader down": (backend(2, "down"), {"atlas-up": "warn"}),
    "reader hangs, and is up for Atlas": (look(servers={WRITER: OK, READER: HANGS}, reads=UNASKED), {"atlas-servers": "fail", "atlas-passes": "unknown"}),
    "writes fail": (look(writes=NO), {"atlas-passes": "fail"}),
    "damaged by SAVE CONFIG": (file(differs=True), {"atlas-config": "warn"}),
    "open to all": (file(open_to="0666"), {"atlas-config": "fail"}),
    "not known what it should be": (file(differs=None), {"atlas-config": "unknown"}),
    "no file": (file(reason="It cannot be read."), {"atlas-config": "fail", "atlas-charset": "unknown"}),
    "no charset": (file(charset=""), {"atlas-charset": "fail"}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named(name: str) -> None:
    made, expected = FAULTS[name]
    assert wrong(made()) == expected


@pytest.mark.parametrize(
    ("name", "check", "expected"),
    [
        ("writer offline", "atlas-up", "A fence? playbooks/status.yml names the fenced node, and what takes that away."),
        ("reader down", "atlas-up", "See atlas-servers."),
        ("dead", "atlas-answers", "See journalctl -u atlas-shop; systemctl restart atlas-shop."),
        ("two accounts", "atlas-account", "systemctl restart atlas-shop: its file has one."),
        ("no reader", "atlas-backends", "systemctl restart atlas-shop: its file has the right ones."),
    ],
)
def test_a_remedy_names_what_there_is(name: str, check: str, expected: str) -> None:
    found = judged(replace(FAULTS[name][0](), unit="atlas-shop"))
    assert [row.remedy for row in found if row.check == check] == [expected]


def test_no_fence_has_taken_a_reader_offline() -> None:
    (row,) = (each for each in judged(replace(backend(2, "offline")(), unit="atlas-shop")) if each.check == "atlas-up")
    assert "unfence" not in row.remedy and row.remedy.endswith("state=online, or systemctl restart atlas-shop.")


def test_two_nodes_are_one_report() -> None:
    rest = {"value": 1, "expected": 1, "reason": "", "remedy": ""}
    said = {
        name: [{"check": check, "state": state, "nodes": [name], **rest} for check, state in rows(WELL, name).items()]
        for name in ("server1", "server2")
    }
    assert len(merge(said)) == 18


def test_the_file_is_compared_and_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "main.cnf"
    text = "[mysql-proxy]\nadmin-password = geheim\ncharset = utf8mb4\n"
    path.write_text(text)
    path.chmod(0o640)
    right = hashlib.sha256(text.encode()).hexdigest()
    assert read_file(str(path), right) == AtlasFile("", False, "utf8mb4", "")
    assert read_file(str(path), "").differs is None
    path.write_text(text.replace(" = ", "="))
    path.chmod(0o666)
    found = read_file(str(path), right)
    assert found == AtlasFile("", True, "utf8mb4", "0666")
    assert "geheim" not in repr(found)
    path.write_text("[mysql-proxy]\n")
    assert read_file(str(path), right).charset == ""
    assert "cannot be read" in read_file(str(tmp_path / "missing"), right).reason
