# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A healthy pair, and what is said about it when something is lost."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.status.pair import Node, Pair
from ansible_collections.tandem.lemp.plugins.module_utils.status.table import draw, sentences, summary
from ansible_collections.tandem.lemp.plugins.module_utils.status.verdict import State, problems, state

SERVICES = ("nginx", "php-fpm", "database", "haproxy", "keepalived", "tandem-health")
VIPS = {"outside": "192.0.2.100", "inside": "198.51.100.100"}
NAMES = {"198.51.100.11": "node-a", "198.51.100.12": "node-b"}
DISK = {"device": 1, "free_mb": 9000, "total_mb": 20000, "used_percent": 55}


def seen(active: bool, role: str) -> dict[str, Any]:
    parts = ("web", "php", "database", "outside", "inside")
    running = {"running": True, "lag": 0.0, "source": "198.51.100.11:3306", "error": ""}
    return {
        "time": 1_800_000_000.0,
        "uptime": 90_000.0,
        "load": 0.1,
        "addresses": {"outside": active, "inside": active},
        "services": dict.fromkeys(SERVICES, "active"),
        "health": {
            "answers": True,
            "reason": "",
            "said": {
                "severity": 0,
                "findings": {name: {"verdict": "up", "reason": ""} for name in parts},
                "networks": {name: {"peer_heard": True} for name in ("outside", "inside")},
                "database": {
                    "look": "ok",
                    "text": "",
                    "role": role,
                    "replication": running if role == "replica" else None,
                },
            },
        },
        "web": {"answers": True, "code": 200, "milliseconds": 1.4, "reason": ""},
        "proxy": {
            "sql_writer": {"leads_to": ["node-a"], "servers": {}},
            "sql_reader": {"leads_to": ["node-b"], "servers": {}},
        },
        "files": [{"name": "www", "result": "ok", "finished": 1_799_999_988.0}],
        "disks": {"/": dict(DISK), "/var/lib/mysql": dict(DISK)},
    }


def healthy() -> dict[str, Any]:
    return {"node-a": seen(True, "primary"), "node-b": seen(False, "replica")}


def pair(nodes: dict[str, Any]) -> Pair:
    return Pair(
        tuple(Node(name, found, "" if found else "Connection timed out") for name, found in nodes.items()),
        VIPS,
        NAMES,
        frozenset(SERVICES),
    )


def judged(nodes: dict[str, Any]) -> tuple[State, list[str]]:
    found = problems(pair(nodes))
    return state(found), [problem.text for problem in found]


def test_a_healthy_pair_has_no_problem() -> None:
    assert judged(healthy()) == (State.HEALTHY, [])
    assert sentences(pair(healthy()), []) == ["HEALTHY. node-a serves, node-a takes writes. Either node may be lost."]


def test_traffic_and_writes_on_different_nodes_are_healthy() -> None:
    nodes = healthy()
    nodes["node-a"]["addresses"], nodes["node-b"]["addresses"] = (
        nodes["node-b"]["addresses"],
        nodes["node-a"]["addresses"],
    )
    assert judged(nodes) == (State.HEALTHY, [])


def put(nodes: dict[str, Any], node: str, path: str, value: Any) -> None:
    *way, last = path.split(".")
    place = nodes[node]
    for key in way:
        place = place[key]
    place[last] = value


LOSSES = [
    ("node-b", "services.nginx", "failed", State.DEGRADED, "node-b: nginx is failed. Look there"),
    ("node-b", "services.haproxy", "absent", State.DEGRADED, "node-b lacks haproxy. Mend: run site.yml."),
    ("node-b", "web.answers", False, State.HEALTHY, None),
    ("node-a", "web.answers", False, State.DOWN, "node-a holds the outside VIP, and its web server does not answer."),
    ("node-a", "addresses.inside", False, State.DOWN, "Nobody holds the inside VIP 198.51.100.100."),
    ("node-b", "addresses.outside", True, State.DOWN, "node-a and node-b both hold the outside VIP 192.0.2.100."),
    ("node-b", "health.said.database.role", "primary", State.DOWN, "of node-a and node-b both take writes."),
    ("node-a", "health.said.database.role", "replica", State.DEGRADED, "No database takes writes"),
    ("node-a", "health.said.database.role", None, State.DEGRADED, "nothing is known of that of node-a."),
    ("node-b", "health.said.database.replication", None, State.DEGRADED, "its database follows nobody."),
    (
        "node-b",
        "health.said.database.replication.running",
        False,
        State.DEGRADED,
        "replication from node-a has stopped",
    ),
    ("node-b", "health.said.database.replication.lag", 75.0, State.DEGRADED, "node-b: its database is 75 s behind."),
    ("node-b", "health.said.database.replication.lag", None, State.DEGRADED, "is behind is not known"),
    (
        "node-b",
        "health.said.findings.php",
        {"verdict": "down", "reason": "refused"},
        State.DEGRADED,
        "node-b: php is down: refused.",
    ),
    ("node-b", "health.said.networks.inside.peer_heard", False, State.DEGRADED, "does not hear its peer on the inside"),
    ("node-b", "proxy", None, State.DEGRADED, "node-b: HAProxy does not answer on its socket."),
    ("node-b", "proxy.sql_writer.leads_to", ["node-b-read"], State.DEGRADED, "writer port leads to node-b-read, and"),
    (
        "node-b",
        "proxy.sql_writer.leads_to",
        [],
        State.DEGRADED,
        "writer port leads to nowhere, and the primary is node-a",
    ),
    (
        "node-a",
        "files",
        [{"name": "www", "result": "refused", "message": "the root is empty"}],
        State.DEGRADED,
        "file job www ended with refused: the root is empty.",
    ),
    ("node-a", "health.said.certificate_ends", 1_800_000_000 + 12 * 86400, State.DEGRADED, "node-a: its certificate ends in 12 days. Mend: run playbooks/base"),
    ("node-b", "health.said.certificate_ends", 1, State.DEGRADED, "node-b: its certificate has expired."),
    ("node-a", "disks./.used_percent", 97, State.DEGRADED, "node-a: / is 97 % full"),
    (
        "node-b",
        "health",
        {"answers": False, "reason": "refused", "said": None},
        State.DEGRADED,
        "does not answer (refused)",
    ),
]


@pytest.mark.parametrize(
    ("node", "path", "value", "how", "expected"), LOSSES, ids=[f"{loss[0]} {loss[1]} {loss[2]}"[:60] for loss in LOSSES]
)
def test_what_is_said_when_something_is_lost(
    node: str, path: str, value: Any, how: State, expected: str | None
) -> None:
    nodes = healthy()
    put(nodes, node, path, value)
    found_state, found = judged(nodes)
    assert found_state is how, found
    if expected is not None:
        assert sum(expected in text for text in found) == 1, found


def test_a_lost_standby_is_a_degraded_pair_that_still_serves() -> None:
    nodes = {**healthy(), "node-b": None}
    assert judged(nodes) == (State.DEGRADED, ["node-b cannot be reached: Connection timed out."])


def test_a_lost_active_node_is_not_called_down_while_it_may_still_serve() -> None:
    nodes = {**healthy(), "node-a": None}
    how, found = judged(nodes)
    assert how is State.DEGRADED
    assert "Nobody who answers holds the outside VIP 192.0.2.100; perhaps node-a does." in found
    assert (
        "No database is known to take writes; nothing is known of that of node-a. Mend: power node-a on, then run"
        " playbooks/database.yml. If it stays off: playbooks/failover.yml -e peer_is=dead." in found
    )


def test_a_pair_of_which_no_node_answers_is_down() -> None:
    how, found = judged({"node-a": None, "node-b": None})
    assert how is State.DOWN
    assert found[0].startswith("No node can be reached from here: nobody is known to serve.")
    assert "peer_is=dead" not in " ".join(found)


def test_a_node_that_is_on_is_not_to_be_powered_on() -> None:
    nodes = healthy()
    nodes["node-a"]["health"].update(answers=False, said=None)
    (found,) = [text for text in judged(nodes)[1] if "known to take writes" in text]
    assert "start what has stopped on node-a (systemctl status mariadb mysql tandem-health)" in found
    assert found.endswith("If that does not start: playbooks/failover.yml.")
    assert "power" not in found and "peer_is" not in found


def test_nobody_fails_over_from_one_in_doubt_to_one_in_doubt() -> None:
    nodes = {**healthy(), "node-a": None}
    nodes["node-b"]["health"]["said"]["database"]["role"] = None
    assert "failover.yml" not in " ".join(judged(nodes)[1])


def test_file_jobs_wait_where_it_is_not_their_turn_and_while_the_peer_is_away() -> None:
    nodes = healthy()
    nodes["node-b"]["files"][0]["result"] = "waiting"
    assert judged(nodes) == (State.HEALTHY, [])
    nodes["node-a"]["files"][0].update({"result": "unreachable", "message": "node-b does not answer"})
    assert judged(nodes)[1] == ["node-a: file job www ended with unreachable: node-b does not answer."]
    nodes["node-b"] = None
    assert judged(nodes)[1] == ["node-b cannot be reached: Connection timed out."]


def test_a_file_job_whose_timer_has_died() -> None:
    nodes = healthy()
    nodes["node-a"]["files"][0]["finished"] -= 7200
    assert judged(nodes)[1] == ["node-a: file job www last ran 120 minutes ago."]


def test_a_stopped_service_is_said_once() -> None:
    nodes = healthy()
    nodes["node-b"]["services"]["database"] = "inactive"
    nodes["node-b"]["health"]["said"]["findings"]["database"] = {"verdict": "down", "reason": "no such file"}
    assert judged(nodes)[1] == ["node-b: database is inactive. Look there: systemctl status mariadb mysql."]


def test_an_active_node_without_a_database_is_down() -> None:
    nodes = {**healthy(), "node-b": None}
    nodes["node-a"]["proxy"]["sql_writer"]["leads_to"] = []
    how, found = judged(nodes)
    assert how is State.DOWN
    assert found[0] == "node-a holds the outside VIP, and its SQL writer port leads to no database."


def test_a_silent_peer_is_said_once() -> None:
    nodes = healthy()
    for network in nodes["node-a"]["health"]["said"]["networks"].values():
        network["peer_heard"] = False
    assert judged(nodes)[1] == ["node-a does not hear its peer on any network."]


def test_the_worst_comes_first() -> None:
    nodes = healthy()
    nodes["node-a"]["services"]["nginx"] = "failed"
    nodes["node-b"]["addresses"]["outside"] = True
    found = problems(pair(nodes))
    assert [problem.state for problem in found] == sorted((problem.state for problem in found), reverse=True)


def test_vips_that_are_apart() -> None:
    nodes = healthy()
    nodes["node-a"]["addresses"]["inside"] = False
    nodes["node-b"]["addresses"]["inside"] = True
    assert judged(nodes) == (State.DEGRADED, ["The VIPs are apart: outside on node-a, inside on node-b."])


TABLE = """                     node-a                         node-b
-------------------  -----------------------------  -----------------------
traffic              ACTIVE (outside + inside VIP)  standby
database             PRIMARY, takes writes          replica of node-a
replication          -                              running
lag                  -                              0 s
SQL writer port      to node-a                      to node-a
SQL reader port      to node-b                      to node-b
web                  answers in 1 ms                answers in 1 ms
php-fpm              answers                        answers
health               healthy                        healthy
hears peer on        outside + inside               outside + inside
services             all 6 active                   all 6 active
files www            ok, 12 s ago                   ok, 12 s ago
disk /               55 % used, 9000 MB free        55 % used, 9000 MB free
disk /var/lib/mysql  55 % used, 9000 MB free        55 % used, 9000 MB free
up for               25 h                           25 h"""


def test_the_table_of_a_healthy_pair() -> None:
    assert "\n".join(draw(pair(healthy()))) == TABLE


def with_atlas(**states: str) -> dict[str, Any]:
    """Atlas on both nodes, all of it up but what is said of that of node-b."""
    nodes = healthy()
    for name, node in nodes.items():
        node["services"]["atlas"] = "active"
        node["atlas"] = {
            "reason": "",
            "backends": [
                {"index": 1, "address": "127.0.0.1:6446", "type": "rw", "state": states.get("rw", "up") if name == "node-b" else "up"},
                {"index": 2, "address": "127.0.0.1:6448", "type": "ro", "state": states.get("ro", "up") if name == "node-b" else "up"},
            ],
        }
    return nodes


def test_atlas_is_a_row_where_there_is_one() -> None:
    assert judged(with_atlas()) == (State.HEALTHY, [])
    assert "Atlas                rw up, ro up                   rw offline, ro up" in draw(pair(with_atlas(rw="offline")))


def test_what_atlas_does_not_use_is_said() -> None:
    how, found = judged(with_atlas(rw="offline", ro="down"))
    assert how is State.DEGRADED
    assert found == [
        "node-b: 127.0.0.1:6446, to which Atlas sends writes, is offline."
        " Mend: playbooks/unfence.yml -e node=node-a -e drivers=atlas.",
        "node-b: 127.0.0.1:6448, to which Atlas sends reads, is down.",
    ]


@pytest.mark.parametrize("fenced", ["node-a", "node-b"])
def test_a_fence_is_taken_away_where_it_was_made(fenced: str) -> None:
    """The other one is closed as well: there is no primary to be named."""
    nodes = with_atlas(rw="offline")
    nodes["node-a"]["health"]["said"]["database"]["role"] = "replica"
    nodes[fenced]["fences"] = {"atlas": False, "read_only": True}
    unfence = f"{fenced} is fenced by a person. To take that away: playbooks/unfence.yml -e node={fenced} -e drivers=atlas,read_only."
    assert judged(nodes)[1][:2] == [
        f"No database takes writes: pages can be read, not changed. {unfence}",
        f"node-b: 127.0.0.1:6446, to which Atlas sends writes, is offline. {unfence}",
    ]


@pytest.mark.parametrize("fences", [{"read_only": False}, {"restore": True}, {}], ids=["a fenced standby", "a restore", "nobody"])
def test_what_had_not_been_open_is_not_why_nobody_writes(fences: dict[str, bool]) -> None:
    nodes = healthy()
    nodes["node-a"]["health"]["said"]["database"]["role"] = "replica"
    nodes["node-b"]["fences"] = fences
    assert judged(nodes)[1][0].endswith("Mend: run playbooks/database.yml; it asks both and opens the right one.")


def test_without_a_primary_and_a_record_atlas_is_set_online_on_its_own_node() -> None:
    nodes = with_atlas(rw="offline")
    nodes["node-a"]["health"]["said"]["database"]["role"] = "replica"
    assert any(text.endswith("is offline. Mend: playbooks/unfence.yml -e node=node-b -e drivers=atlas.") for text in judged(nodes)[1])


def test_no_fence_has_taken_a_reader_offline() -> None:
    (found,) = judged(with_atlas(ro="offline"))[1]
    assert "unfence" not in found and "state=online, or systemctl restart 'atlas-*' on node-b." in found


def test_a_silent_atlas_is_said_once() -> None:
    nodes = with_atlas()
    nodes["node-b"]["atlas"] = {"backends": [], "reason": "Nobody takes connections at 198.51.100.12:2345."}
    assert judged(nodes)[1] == ["node-b: Atlas does not say where it leads: Nobody takes connections at 198.51.100.12:2345."]
    nodes["node-b"]["services"]["atlas"] = "failed"
    assert judged(nodes)[1] == []  # the services say so
    assert "NO ANSWER: Nobody" in "\n".join(draw(pair(nodes)))


def test_an_unreachable_node_is_a_column_that_says_so() -> None:
    lines = draw(pair({**healthy(), "node-b": None}))
    assert lines[0].endswith("  node-b (unreachable)")
    assert all(line.endswith("?") for line in lines[2:])


def test_the_summary_for_machines_says_the_same() -> None:
    said = summary(pair({**healthy(), "node-b": None}))
    assert said["pair"]["state"] == "degraded"
    assert said["pair"]["active"] == said["pair"]["primary"] == "node-a"
    assert said["pair"]["problems"] == [
        {"state": "degraded", "text": "node-b cannot be reached: Connection timed out."}
    ]
    assert said["nodes"]["node-b"] == {"reachable": False, "reason": "Connection timed out"}
    assert said["nodes"]["node-a"]["reachable"] is True


EMPTY = {
    "time": 0.0,
    "uptime": 5.0,
    "load": 0.0,
    "addresses": {"outside": False, "inside": False},
    "services": dict.fromkeys(SERVICES, "absent"),
    "health": {"answers": False, "reason": "Connection refused", "said": None},
    "web": {"answers": False, "code": None, "milliseconds": None, "reason": "Connection refused"},
    "proxy": None,
    "files": [],
    "disks": {},
}


def test_fresh_machines_are_drawn_and_judged_too() -> None:
    nodes = {"node-a": copy.deepcopy(EMPTY), "node-b": copy.deepcopy(EMPTY)}
    how, found = judged(nodes)
    assert how is State.DOWN
    assert f"node-a lacks {', '.join(SERVICES)}. Mend: run site.yml." in found
    assert len(draw(pair(nodes))) > 10
