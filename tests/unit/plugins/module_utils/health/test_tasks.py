# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the daemon can do without ends nothing else."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from pathlib import Path

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.health import agency, tasks
from ansible_collections.tandem.lemp.plugins.module_utils.health.config import AgentSettings

from .test_daemon import Node, play, until

ENDINGS = [RecursionError("a fault of ours")] * 3 + [KeyError("another one")]


def test_a_fault_is_logged_once_and_the_part_begins_again(caplog: pytest.LogCaptureFixture) -> None:
    begun = []

    async def part() -> None:
        begun.append(1)
        if len(begun) <= len(ENDINGS):
            raise ENDINGS[len(begun) - 1]
        await asyncio.sleep(600)

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(tasks.optional("it", part, 0.001))
            await until(lambda: len(begun) > len(ENDINGS))
            task.cancel()

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert len(caplog.records) == 2


def test_whatever_the_peer_shows_ends_no_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def fault(*_of: object) -> None:
        asked.append(1)
        raise RecursionError("nested too deep")

    monkeypatch.setattr(agency, "fetch", fault)
    monkeypatch.setattr(agency, "PEER_STATUS_EVERY", 0.01)
    (tmp_path / "agent").mkdir()
    settings = AgentSettings(str(tmp_path / "here"), str(tmp_path / "there"), str(tmp_path / "agent"), {}, {"failover": "automatic"})

    async def scenario(a: Node, _b: Node) -> None:
        a.config = dataclasses.replace(a.config, agent=settings)
        await a.restart_daemon()
        await until(lambda: len(asked) > 0)
        a.page.stop()
        await until(lambda: a.letting_go)

    play(tmp_path, scenario)
