# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tired person understands why it did, and why it would not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent.facts import Facts
from ansible_collections.tandem.lemp.plugins.module_utils.agent.model import Memory, View
from ansible_collections.tandem.lemp.plugins.module_utils.agent.policy import Policy
from ansible_collections.tandem.lemp.plugins.module_utils.agent.why import blockers, outlook, why

from . import seen_data as data

ROWS = [("complete", "yes", "yes", True), ("silence", "0.1 s", "3 s on all networks", False), ("lease", "held by node-b", "free", False)]


def said(status, history=()):
    return "\n".join(why(status, history, data.NOW))


def test_after_a_failover_the_reason_and_the_evidence_are_told() -> None:
    text = said(data.pair(), data.events())
    assert "node-b: the database is the primary; the agent's state is primary for 1 h 9 min; epoch 8." in text
    assert "suspecting -> opening, epoch 8" in text
    assert "because: node-a answers nowhere and the lease has ended. (rule peer_dead)" in text
    assert "seen: lease: expired 0.2 s ago; canary: no route to host; applied: all that was received" in text
    newest_first = [text.index(state) for state in ("rejoining -> replica", "opening -> primary", "replica -> suspecting")]
    assert newest_first == sorted(newest_first)
    assert "slow_disk" not in text  # an event is no transition


def test_a_ready_replica() -> None:
    assert "node-a would take over by itself: all 4 conditions are met." in said(data.replica())
    assert "node-a would take over by itself: all 4 conditions are met." in said(data.pair())  # as the peer said
    assert "roles stay where they are" in said(data.pair())


def test_what_stands_in_the_way_is_named_with_found_and_needed() -> None:
    status = data.replica()
    status["agent"]["blockers"] = data.blockers(("replication runs", "SQL thread stopped: duplicate key", "both threads", False), ("disk", None, "10 %", None))
    text = said(status)
    assert "node-a would not take over by itself." in text
    assert "    - replication runs: found SQL thread stopped: duplicate key; needed both threads." in text
    assert "    - disk: not known whether it is met (found not known; needed 10 %)." in text
    assert "(4 other conditions are met.)" in text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"policy": {"failover": "manual"}}, "the policy is failover: manual"),
        ({"paused_until": data.NOW + 600}, "paused until 2026-11-17 12:00:"),
        ({"operation": {"action": "an operation of a person"}}, "an operation of a person is running on node-a"),
    ],
)
def test_other_reasons_not_to(change, expected) -> None:
    status = data.replica()
    status["agent"].update(change)
    if "paused" in expected:
        expected = "is paused until"
    assert outlook(status, data.NOW).ready is False
    assert expected in said(status)


def test_what_only_the_death_can_prove_stands_against_nothing() -> None:
    rows = [SimpleNamespace(name=name, found=found, needed=needed, met=met) for name, found, needed, met in ROWS]
    status = data.replica()
    status["agent"]["blockers"] = blockers(rows)
    assert status["agent"]["blockers"][0] == {"condition": "complete", "found": "yes", "needed": "yes", "ok": True}
    assert outlook(status, data.NOW).ready is True
    text = said(status)
    assert "node-a would take over by itself: its condition is met." in text
    assert "First it needs proof of the death: silence: 3 s on all networks; lease: free." in text
    rows[0].met = False
    status["agent"]["blockers"] = blockers(rows)
    assert outlook(status, data.NOW).against == ("complete: found yes; needed yes.",)


def test_conditions_of_the_core_are_known_by_their_names() -> None:
    status = data.replica()
    status["agent"]["blockers"] = [{"condition": "silence", "found": "0.1 s", "needed": "3 s", "ok": False}, *data.blockers()]
    assert outlook(status, data.NOW).ready is True
    status["agent"]["blockers"] = [{"condition": "policy", "found": "manual", "needed": "automatic", "ok": False}]
    status["agent"]["policy"]["failover"] = "manual"
    assert outlook(status, data.NOW).against == ("policy: found manual; needed automatic.",)


@pytest.mark.parametrize(("able", "ready"), [(True, True), (False, False), (None, None)])
def test_a_peer_of_which_only_heartbeats_are_known(able, ready) -> None:
    status = data.pair()
    del status["peer"]["status"]
    status["peer"]["agent"] = {"state": "replica", "database": "closed", "able": able, "paused_until": 0.0, "term": {"epoch": 8}}
    assert outlook(status, data.NOW).ready is ready
    assert "node-a: alive; its database is the replica." in said(status)
    status["peer"]["agent"]["paused_until"] = data.NOW + 60
    assert outlook(status, data.NOW).ready is False


def test_a_node_that_a_person_holds_is_told_with_what_ends_it() -> None:
    status = data.replica()
    assert "holds" not in said(status)
    status["agent"]["held"] = True
    assert "A person holds node-a: a fence, or a restore that runs or was killed" in said(status)
    assert "playbooks/unfence.yml" in said(status)


def test_alarms_are_told() -> None:
    assert "Alarm: the primary goes on without a replica: commits wait for nobody." in said(data.alone())


def test_atlas_is_told_with_what_is_behind_it() -> None:
    status = data.pair()
    lines = why(status, [], data.NOW)
    assert "  Atlas: answers." in lines
    assert "    127.0.0.1:6448 (ro): up." in lines
    status["atlas"].update(state="frozen", reason="login: no greeting within 1 s", accounts=2, admin=False, admin_reason="Nobody answers.")
    status["atlas"]["backends"][1].update(state="offline", answers=False, reason="no greeting within 1 s", taken_offline=True)
    status["atlas"]["backends"].append({"address": "192.0.2.9:3306", "type": "ro", "state": "up", "configured": False})
    status["agent"]["alarms"] = ["atlas_frozen"]
    text = "\n".join(why(status, [], data.NOW))
    assert "Alarm: Atlas takes connections and answers nobody." in text
    assert "Atlas: takes connections and does not answer: login: no greeting within 1 s." in text
    assert (
        "127.0.0.1:6448 (ro): offline; asked beside Atlas it does not answer: no greeting within 1 s; "
        "the agent has taken it offline, and puts it online when it answers." in text
    )
    assert "192.0.2.9:3306 (ro): up; it was added at the admin port, and is gone with a restart." in text
    assert "Its admin port: Nobody answers." in text
    assert "It has 2 accounts." in text
    del status["atlas"]
    assert "Atlas:" not in "\n".join(why(status, [], data.NOW))


def test_a_pause_that_is_over_is_none() -> None:
    status = data.replica()
    status["agent"]["paused_until"] = data.NOW - 1
    assert outlook(status, data.NOW).ready is True


def test_what_is_not_known_is_never_called_ready() -> None:
    status = data.replica()
    status["agent"]["blockers"] = data.blockers(("the lease", None, "free", None))
    assert outlook(status, data.NOW).ready is None
    del status["agent"]["blockers"]
    assert outlook(status, data.NOW).ready is None
    assert outlook({}, data.NOW).ready is None
    quiet = data.pair()
    quiet["peer"].update(status=None, agent=None)
    assert outlook(quiet, data.NOW).ready is None
    assert "node-a has not said whether it could take over" in said(quiet)


def test_a_primary_that_is_alone() -> None:
    status = data.alone()
    assert outlook(status, data.NOW).ready is False
    status["peer"]["status"] = data.replica()  # what a silent peer said does not count
    assert outlook(status, data.NOW).ready is False
    assert "Nobody would take over: there is one node left." in said(status)
    assert "node-a: silent for 1 min." in said(status)
    status["agent"]["lease"]["reachable"] = False
    assert "the witness does not answer" in said(status)


def test_a_replica_whose_primary_is_silent_goes_by_its_own_conditions() -> None:
    status = data.replica()
    status["peer"].update(alive=False, age=2.0, status=None)
    assert outlook(status, data.NOW).ready is True


def test_nothing_crashes_it_and_no_line_is_two() -> None:
    for status in [*data.STRANGE, *data.without(data.pair()), *data.without(data.replica())]:
        lines = why(status, [], data.NOW)
        assert "If the primary died now" in lines
        assert all(line.isprintable() for line in lines)


def test_a_hostile_history() -> None:
    for made in [*data.without(data.events()[4]), {}, {"kind": "transition"}, {"kind": "transition", "reason": data.HOSTILE, "details": {"a\nb": "c\nd"}}]:
        lines = why({}, [made], data.NOW)
        assert all(line.isprintable() for line in lines)


def test_the_cool_down_stands_only_against_following_the_database() -> None:
    """A dead machine is followed at once."""
    facts = Facts(Policy("node-b", "node-a"), Memory(failover_at=1000.0), View(now=50.0, wall=1100.0))
    status = data.replica()
    row = {"condition": "cool-down", "found": "running", "needed": "over, or acknowledged", "ok": False}
    assert blockers([facts.cool_down]) == [row]
    assert facts.cool_down in facts.of_takeover and facts.cool_down not in facts.of_silence
    status["agent"]["blockers"] = [*data.blockers(), row]
    seen = outlook(status, data.NOW)
    assert seen.ready is False and seen.against == ("cool-down: found running; needed over, or acknowledged.",)
    assert seen.summary.endswith("would take over by itself if the primary's machine died, but not if only its database ended.")
    status["agent"]["blockers"] = [*data.blockers(("in step", "no", "yes", False)), row]
    assert outlook(status, data.NOW).summary.endswith("would not take over by itself.")
