# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at an Atlas and at what is behind it. It blocks for a few seconds at most, and belongs in a thread.

What an Atlas says of its backends is not enough: one that is up is never looked at again, and one that hangs stops all
that connect through it, since Atlas waits for it without end. So each backend is asked beside Atlas first, as Atlas would
ask it. Only what answers there is asked through Atlas: a look must not be what stops it.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..errors import TandemError
from .admin import OFFLINE, RO, RW, Admin, Backend
from .client import READ, UNASKED, WRITE, Account, Answer, How, ask
from .errors import Interrupted, NotListening, Silent
from .wire import Endpoint

_Key = tuple[str, str]


@dataclass(frozen=True)
class Watched:
    """The Atlas of this node as the role has configured it.

    proxy: where applications connect. threads: its event threads; each new connection goes to the next one.
    servers: address and type of each backend.
    """

    admin: Endpoint
    proxy: tuple[str, int]
    account: Account
    servers: tuple[_Key, ...]
    threads: int = 2


@dataclass(frozen=True)
class Look:
    """What one look showed. Of each backend: backends, what Atlas says; servers, what it answers beside Atlas.

    users: accounts of the proxy; None: not known. reads, writes: through Atlas.
    """

    admin: Answer = UNASKED
    backends: tuple[Backend, ...] = ()
    users: int | None = None
    login: Answer = UNASKED
    servers: t.Mapping[_Key, Answer] = field(default_factory=dict)
    reads: Answer = UNASKED
    writes: Answer = UNASKED

    def state(self, key: _Key) -> str:
        """As Atlas says; "" where that is not known."""
        return next((one.state for one in self.backends if one.key == key), "")

    def answers(self, key: _Key) -> bool:
        return self.servers.get(key, UNASKED).ok


def look(watched: Watched) -> Look:
    """Raises nothing: whatever is wrong is in the look."""
    admin, backends, users = _ask_admin(watched.admin)
    servers = {key: _ask(key[0], watched.account, READ) for key in watched.servers}
    seen = Look(admin=admin, backends=backends, users=users, servers=servers)
    login = _worst(ask(*watched.proxy, watched.account) for _thread in range(watched.threads))
    reads = writes = UNASKED
    if login.ok:
        if _safe(seen, (RO, RW)):
            reads = ask(*watched.proxy, watched.account, READ)
        if _safe(seen, (RW,)):
            writes = ask(*watched.proxy, watched.account, WRITE)
    return Look(admin, backends, users, login, servers, reads, writes)


def _safe(seen: Look, kinds: tuple[str, ...]) -> bool:
    """Nothing that hangs would be asked. One that refuses does no harm: Atlas then sees for itself that it is gone."""
    return not any(
        answer.how is How.SILENT and key[1] in kinds and seen.state(key) != OFFLINE for key, answer in seen.servers.items()
    )


def _ask(address: str, account: Account, *statements: str) -> Answer:
    host, _colon, port = address.rpartition(":")
    return ask(host, int(port), account, *statements)


def _ask_admin(endpoint: Endpoint) -> tuple[Answer, tuple[Backend, ...], int | None]:
    try:
        with Admin(endpoint) as admin:
            return Answer(How.OK), admin.backends(), len(admin.users())
    except NotListening as error:
        return Answer(How.REFUSED, error.message), (), None
    except (Silent, Interrupted) as error:
        return Answer(How.SILENT, error.message), (), None
    except TandemError as error:
        return Answer(How.BROKEN, error.message), (), None


def _worst(answers: t.Iterable[Answer]) -> Answer:
    """Of logins one after the other; the first that fails says why."""
    last = UNASKED
    for last in answers:
        if not last.ok:
            return last
    return last
