# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has begun while replication came close is not broken off; and what to do when nobody can tell who opens."""

from __future__ import annotations

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.operations import switchover
from ansible_collections.tandem.lemp.plugins.module_utils.plan import HalfDone, Undone

LONG = {"id": 7, "user": "blog", "idle": True, "seconds": 60, "in_transaction": True, "transaction_seconds": 60.0}
ALTERS = {"id": 8, "user": "blog", "idle": False, "seconds": 1, "in_transaction": False, "statement": "ALTER TABLE t ADD c INT"}


def moves(world):
    return switchover.Switchover(world.line("node-a"), world.line("node-b"), switchover.Wish())


@pytest.mark.parametrize(("node", "session", "gate"), [("node-a", LONG, "no-long-transaction"), ("node-a", ALTERS, "no-ddl"), ("node-b", ALTERS, "no-ddl")])
def test_what_began_after_the_gates_is_seen_before_anybody_waits(make_world, node, session, gate) -> None:
    world = make_world()
    seen = iter([[], [session]])
    world.nodes[node].sessions = lambda: next(seen)
    with pytest.raises(Undone, match=gate):
        moves(world).run()
    assert world.nodes["node-a"].writable
    assert not {"hold", "prepare_hold", "kill_sessions"} & {message.split()[1] for message in world.messages}


def test_in_doubt_it_names_the_playbook_that_opens_the_right_one(make_world) -> None:
    world = make_world()
    moves(world).run()
    number = world.messages.index("node-b commit") + 1
    world = make_world()
    world.power_off_at = (number, "before", "node-b")
    with pytest.raises(HalfDone, match=r"playbooks/database\.yml"):
        moves(world).run()
