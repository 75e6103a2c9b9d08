# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools that listen and do not, on the loopback interface."""

from __future__ import annotations

import asyncio
import socket
import typing as t

from ansible_collections.tandem.lemp.plugins.module_utils.health.config import Php
from ansible_collections.tandem.lemp.plugins.module_utils.health.model import Raw
from ansible_collections.tandem.lemp.plugins.module_utils.health.services import look_at_php


class Pool:
    """One address, kept for this pool whether it listens or not."""

    def __init__(self) -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.address: tuple[str, int] = sock.getsockname()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"\x01" + 15 * b"\x00")
            writer.close()

        self._server = await asyncio.start_server(answer, *self.address)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()


def play(scenario: t.Callable[[Pool, Pool, t.Callable[[], t.Awaitable[Raw]]], t.Awaitable[None]]) -> None:
    async def run() -> None:
        old, new = Pool(), Pool()
        known: set[tuple[str, int]] = set()
        php = Php((old.address, new.address), "/php-ping")

        async def look() -> Raw:
            return (await look_at_php(php, 1.0, known))[0]

        await scenario(old, new, look)
        await old.stop()
        await new.stop()

    asyncio.run(run())


def test_a_pool_that_is_still_to_be_made_is_not_missed() -> None:
    async def scenario(old: Pool, new: Pool, look: t.Callable[[], t.Awaitable[Raw]]) -> None:
        await old.start()
        assert await look() is Raw.BUSY
        await new.start()
        assert await look() is Raw.OK
        await new.stop()
        assert await look() is Raw.BROKEN, "it has answered before"

    play(scenario)


def test_the_end_of_php_is_seen_beside_a_pool_that_was_never_there() -> None:
    async def scenario(old: Pool, _new: Pool, look: t.Callable[[], t.Awaitable[Raw]]) -> None:
        await old.start()
        assert await look() is Raw.BUSY
        await old.stop()
        assert await look() is Raw.BROKEN

    play(scenario)


def test_php_that_was_dead_before_the_daemon_began_is_seen() -> None:
    async def scenario(old: Pool, new: Pool, look: t.Callable[[], t.Awaitable[Raw]]) -> None:
        assert await look() is Raw.BROKEN
        await new.start()
        assert await look() is Raw.BUSY
        await old.start()
        assert await look() is Raw.OK

    play(scenario)
