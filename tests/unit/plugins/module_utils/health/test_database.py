# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that cannot be reached is dead only where the kernel says that nobody listens."""

from __future__ import annotations

import contextlib
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.health.config import DatabaseProbe
from ansible_collections.tandem.lemp.plugins.module_utils.health.database import DatabaseLook
from ansible_collections.tandem.lemp.plugins.module_utils.health.model import Raw

WITHIN = 0.3


@pytest.fixture
def path(tmp_path) -> Path:
    (tmp_path / "my.cnf").write_text("[client]\nuser=nobody\n")
    return tmp_path / "mysqld.sock"


@pytest.fixture
def server(path) -> Iterator[socket.socket]:
    """Accepts nobody, as one that stands still."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
        made.bind(str(path))
        made.listen(2)
        yield made


def look(path: Path) -> tuple[Raw, str]:
    one = DatabaseLook(DatabaseProbe(str(path.parent / "my.cnf"), str(path)), WITHIN)
    try:
        return one()[:2]
    finally:
        one.close()


def test_one_whose_backlog_is_full_is_silent(path, server) -> None:
    with contextlib.ExitStack() as clients:
        full = False
        while not full:
            client = clients.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            client.setblocking(False)
            full = client.connect_ex(str(path)) != 0
        assert look(path)[0] is Raw.SILENT


@pytest.mark.usefixtures("server")
def test_one_that_says_nothing_is_silent(path) -> None:
    assert look(path)[0] is Raw.SILENT


def test_one_that_has_ended_is_dead(path, server) -> None:
    server.close()
    assert look(path)[0] is Raw.BROKEN
    path.unlink()
    assert look(path)[0] is Raw.BROKEN


def test_one_that_ends_while_it_is_asked_is_dead(path, server) -> None:
    one = DatabaseLook(DatabaseProbe(str(path.parent / "my.cnf"), str(path)), 5)
    server.settimeout(5)

    def end() -> None:
        server.accept()[0].close()

    ends = Thread(target=end)
    ends.start()
    assert one()[0] is Raw.BROKEN
    ends.join()


@pytest.mark.usefixtures("server")
def test_who_has_no_descriptor_left_knows_nothing_of_the_server(path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    one = DatabaseLook(DatabaseProbe("", str(path)), WITHIN)
    one()  # all that is read from files has been read
    with socket.socket() as highest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest.fileno() + 1, hard))
        try:
            found = one()[0]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found is Raw.BUSY
