# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the gateway sends the service address: asked while the peer is not heard, and compared with the node's own pings."""

from __future__ import annotations

import math
import types
import typing as t

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.health import agency as module
from ansible_collections.tandem.lemp.plugins.module_utils.health.agency import Agency

TICK = 0.15


class Address:
    """The pings from the service address."""

    def __init__(self) -> None:
        self.proven_at, self.pings = -math.inf, 0

    def collect(self) -> None:
        return

    def ping(self) -> None:
        self.pings += 1


class Scene:
    """An agency with nothing but this; own: when the newest ping of the node itself was sent that was answered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.own = 100.0
        self.address = Address()
        monkeypatch.setattr(module, "clock", lambda: self.now)
        agency = t.cast(t.Any, Agency.__new__(Agency))
        agency.config = types.SimpleNamespace(interval=TICK)
        agency.agent = types.SimpleNamespace(policy=types.SimpleNamespace(contact_fresh=0.5))
        agency._address, agency._asked_from, agency._heard_at = self.address, None, {"outside": 100.0}
        self.agency = agency

    def tick(self, heard: bool = False, own: bool = True, here: bool = True) -> bool | None:
        """Every answer comes before the next tick."""
        self.now += TICK
        if heard:
            self.agency._heard_at["outside"] = self.now
        pinged = self.address.pings
        self.agency._ask_for_the_address(self.address)
        seen = self.agency._address_here(self.now, self.now - self.own)
        if own:
            self.own = self.now
        if here and self.address.pings > pinged:
            self.address.proven_at = self.now
        return t.cast("bool | None", seen)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_nothing_is_asked_while_the_peer_is_heard(scene: Scene) -> None:
    assert [scene.tick(heard=True) for _turn in range(20)] == [None] * 20
    assert scene.address.pings == 0


def test_an_address_that_is_here_stays_here(scene: Scene) -> None:
    seen = [scene.tick() for _turn in range(40)]
    assert False not in seen
    assert seen[-1] is True


def test_an_address_that_went_elsewhere_is_missed_at_the_third_ping(scene: Scene) -> None:
    for _turn in range(10):
        scene.tick()
    seen = [scene.tick(here=False) for _turn in range(6)]
    assert seen == [True, True, True, False, False, False]


def test_one_that_was_elsewhere_from_the_beginning_is_noticed_as_well(scene: Scene) -> None:
    seen = [scene.tick(here=False) for _turn in range(8)]
    assert seen[-1] is False


def test_when_the_nodes_own_pings_are_as_late_nothing_is_concluded(scene: Scene) -> None:
    for _turn in range(10):
        scene.tick()
    seen = [scene.tick(own=False, here=False) for _turn in range(10)]
    assert False not in seen
    assert seen[-1] is None  # the gateway does not answer: that decides by itself
