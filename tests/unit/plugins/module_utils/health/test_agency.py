# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the health daemon tells its agent of the other node's."""

from __future__ import annotations

import types
import typing as t

from ansible_collections.tandem.lemp.plugins.module_utils.health.agency import Agency


def test_the_agent_learns_that_its_peer_was_started_again_before_it_hears_it() -> None:
    called: list[t.Any] = []
    agency = t.cast(t.Any, Agency.__new__(Agency))
    agency._heard_at = {}
    agency.agent = types.SimpleNamespace(
        peer_restarted=lambda: called.append("restarted"), peer_says=lambda said: called.append(said) is None
    )
    assert agency.heard("inside", {"agent": {"n": 1}}, False)
    assert agency.heard("inside", {"agent": {"n": 2}}, True)
    assert called == [{"n": 1}, "restarted", {"n": 2}]
