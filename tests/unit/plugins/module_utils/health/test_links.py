# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pings of the reference: what an answer proves, and since when."""

from __future__ import annotations

import math
import struct
import time
import typing as t

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent.echo import Echoes
from ansible_collections.tandem.lemp.plugins.module_utils.health import links
from ansible_collections.tandem.lemp.plugins.module_utils.health.config import Network

NETWORK = Network("outside", "lo", "192.0.2.11", "192.0.2.12", "192.0.2.1")


class Gateway:
    """Keeps what it was asked, and answers when told to."""

    def __init__(self) -> None:
        self.quick = 0
        self.asked: list[bytes] = []
        self.link = links.Reference(NETWORK, "192.0.2.1", self._quick)
        self.link._send = lambda data, _address: self.asked.append(data)  # type: ignore[method-assign]
        self._answer = b""

    def _quick(self) -> None:
        self.quick += 1

    def recvfrom(self, _size: int) -> tuple[bytes, tuple[str, int]]:
        return self._answer, ("192.0.2.1", 0)

    def answer(self, number: int, spoilt: bool = False) -> None:
        asked = self.asked[number]
        self._answer = b"\x45" + bytes(19) + struct.pack("!BBH", 0, 0, 0) + asked[4:] + b""
        if spoilt:
            self._answer = self._answer[:-1] + bytes([self._answer[-1] ^ 1])
        self.link._receive(t.cast(t.Any, self))


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [100.0]
    monkeypatch.setattr(time, "clock_gettime", lambda _which: clock[0])
    return clock


def test_a_late_answer_proves_that_its_question_could_be_sent(now: list[float]) -> None:
    gateway = Gateway()
    assert gateway.link.proven_at == -math.inf
    for _turn in range(6):
        gateway.link.ping()
        now[0] += 0.15
    gateway.answer(1)
    assert gateway.link.proven_at == pytest.approx(100.15)
    assert gateway.quick == 0  # four pings were sent after that one: the network watch counts them as missed
    gateway.answer(4)
    assert gateway.link.proven_at == pytest.approx(100.6)
    assert gateway.quick == 1
    gateway.answer(2)  # overtaken: nothing becomes older by it
    assert gateway.link.proven_at == pytest.approx(100.6)


def test_what_was_not_asked_or_is_not_its_own_proves_nothing(now: list[float]) -> None:
    gateway = Gateway()
    gateway.link.ping()
    gateway.answer(0, spoilt=True)
    assert gateway.link.proven_at == -math.inf
    gateway.answer(0)
    now[0] += 5
    gateway.answer(0)  # the same once more
    assert (gateway.link.proven_at, gateway.quick) == (100.0, 1)


def test_only_so_many_questions_are_remembered() -> None:
    echoes = Echoes()
    for number in range(100):
        echoes.sent(number, float(number))
    assert not echoes.answered(35)
    assert echoes.answered(36)
    assert echoes.newest == 36.0
    assert not echoes.answered(36)
