# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the health daemon tells its agent of the other node's."""

from __future__ import annotations

import math
import types
import typing as t

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.health import agency as module
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


def test_a_daemon_that_has_just_begun_goes_by_the_addresses_until_keepalived_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """keepalived says only what changes: both may be masters since long before."""
    here = {"outside": True, "inside": False}
    monkeypatch.setattr(module, "held", lambda _wanted: here)
    monkeypatch.setattr(module.Agency, "step", lambda _agency: True)
    agency = t.cast(t.Any, Agency.__new__(Agency))
    agency.vrrp = types.SimpleNamespace(state=None, look=lambda: None)
    agency.agent = types.SimpleNamespace(says=dict)
    agency.voice = types.SimpleNamespace(tick=lambda: None)
    agency._address, agency._addresses, agency._steps_left, agency._holds = None, {}, 0, False
    assert "vrrp" not in agency.says()

    def look() -> None:
        agency._vrrp_looked = -math.inf
        agency.tick()

    look()
    assert agency.says()["vrrp"] == "MASTER"
    here["outside"] = False
    look()
    assert "vrrp" not in agency.says()
    here["outside"] = True
    agency.vrrp.state = "BACKUP"
    look()
    assert agency.says()["vrrp"] == "BACKUP"
