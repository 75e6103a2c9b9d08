# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""keepalived's notify FIFO: read when there is something, and never waited for."""

from __future__ import annotations

import asyncio
import os
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.health.vrrp import BOTH_FOR, BothMasters, Change, Vrrp, parse


def say(fifo: Path, *lines: str) -> None:
    """As keepalived opens it: for both, so that it waits for no reader."""
    descriptor = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    os.write(descriptor, "".join(f"{line}\n" for line in lines).encode())
    os.close(descriptor)


def play(scene: t.Callable[[], t.Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(10):
            await scene()

    asyncio.run(run())


async def until(condition: t.Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("line", "change"),
    [
        ('INSTANCE "outside" MASTER 201', Change(False, "outside", "MASTER", 201)),
        ('GROUP "pair" FAULT 0\n', Change(True, "pair", "FAULT", 0)),
        ("", None),
        ("INSTANCE outside MASTER 201", None),
        ('INSTANCE "outside" master 201', None),
        ("\ufffd" * 50, None),
    ],
)
def test_lines(line: str, change: Change | None) -> None:
    assert parse(line) == change


def test_each_change_is_told_once_and_a_restart_of_keepalived_changes_nothing_for_the_reader(tmp_path: Path) -> None:
    fifo, told = tmp_path / "vrrp", []
    os.mkfifo(fifo)

    async def scene() -> None:
        vrrp = Vrrp(str(fifo), told.append)
        assert vrrp.state is None
        vrrp.look()
        say(fifo, 'INSTANCE "outside" BACKUP 200', 'INSTANCE "inside" BACKUP 200', "rubbish", 'INSTANCE "outside" BACKUP 200')
        await until(lambda: len(told) == 2)
        assert vrrp.state == "BACKUP"
        # The writer has closed it. That must not keep the loop busy.
        began = time.process_time()
        await asyncio.sleep(0.3)
        assert time.process_time() - began < 0.1
        say(fifo, 'GROUP "pair" MASTER 200', 'INSTANCE "inside" MASTER 200')
        await until(lambda: len(told) == 4)
        assert (vrrp.state, vrrp.states) == ("MASTER", {"outside": "BACKUP", "inside": "MASTER"})
        vrrp.close()

    play(scene)


def test_it_may_be_missing_be_something_else_and_be_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fifo, told = tmp_path / "vrrp", []
    caplog.set_level("INFO")

    async def scene() -> None:
        vrrp = Vrrp(str(fifo), told.append)
        vrrp.look()
        vrrp.look()
        assert len(caplog.records) == 1
        fifo.write_text("a file")
        vrrp.look()
        assert "no FIFO" in caplog.text
        fifo.unlink()
        os.mkfifo(fifo)
        say_before = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        os.write(say_before, b'INSTANCE "outside" MASTER 201\n')  # while nobody reads
        vrrp.look()
        await until(lambda: vrrp.state == "MASTER")
        os.close(say_before)
        fifo.unlink()
        os.mkfifo(fifo)
        vrrp.look()
        say(fifo, 'INSTANCE "outside" FAULT 201')
        await until(lambda: vrrp.state == "FAULT")
        vrrp.close()

    play(scene)


def test_a_line_in_two_parts_and_one_that_never_ends(tmp_path: Path) -> None:
    fifo, told = tmp_path / "vrrp", []
    os.mkfifo(fifo)

    async def scene() -> None:
        vrrp = Vrrp(str(fifo), told.append)
        vrrp.look()
        writer = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        os.write(writer, b'INSTANCE "out')
        await asyncio.sleep(0.05)
        os.write(writer, b'side" MASTER 201\n' + b"x" * 9000)
        await until(lambda: vrrp.state == "MASTER")
        await asyncio.sleep(0.05)
        assert len(vrrp._rest) <= 4096
        os.write(writer, b'\nINSTANCE "outside" BACKUP 201\n')
        await until(lambda: vrrp.state == "BACKUP")
        os.close(writer)
        vrrp.close()

    play(scene)


def test_both_masters_is_said_when_it_lasts() -> None:
    both = BothMasters()
    assert not both.seen("MASTER", "MASTER", 10.0)
    assert not both.seen("MASTER", "MASTER", 10.0 + BOTH_FOR - 0.1)
    assert both.seen("MASTER", "MASTER", 10.0 + BOTH_FOR)
    assert not both.seen("MASTER", "BACKUP", 14.0)
    assert not both.seen("MASTER", "MASTER", 15.0)
    assert not both.seen(None, "MASTER", 30.0)
    assert not both.seen("MASTER", None, 31.0)
