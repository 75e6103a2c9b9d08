# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One deadline over a plan: the nearest of those that are set."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.errors import OperationFailed
from ansible_collections.tandem.lemp.plugins.module_utils.plan import Plan, Step, Undone


class Clock:
    """Each look takes a second."""

    def __init__(self) -> None:
        self.now = itertools.count()

    def __call__(self) -> float:
        return float(next(self.now))


def test_the_nearest_deadline_counts():
    now = [0.0]
    plan = Plan([], lambda: None, [], clock=lambda: now[0])
    plan.within(10, "deadline")
    plan.within(60)
    assert plan.left(100) == 10
    plan.within(3)
    assert plan.left(100) == 3
    now[0] = 5
    with pytest.raises(OperationFailed, match=r"The pause that is allowed is over \(max_pause\)"):
        plan.left(100)


def test_a_deadline_that_is_over_undoes_everything():
    done = []
    steps = [Step(name, name, lambda name=name: done.append(name), lambda name=name: done.append(f"undo {name}")) for name in ("one", "two", "three")]
    plan = Plan(steps, lambda: done.append("commit"), [], clock=Clock())
    plan.within(8, "deadline")
    with pytest.raises(Undone, match=r"The time that is allowed is over \(deadline\).*longer deadline. Everything is as it was."):
        plan.run()
    assert "commit" not in done and "three" not in done
    assert done[-2:] == ["undo two", "undo one"] or done[-1] == "undo one"
