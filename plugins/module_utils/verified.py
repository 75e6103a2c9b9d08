# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remembers how a server's accounts looked when they were last verified, so that what is unchanged is not verified again.

What is remembered is one digest of all that is wanted and all that the server said. Any drift on either side changes it.
"""

from __future__ import annotations

import hashlib
import json
import typing as t

from .errors import StatementFailed

_FORMAT = 1


class Asks(t.Protocol):
    """A connection, as far as it is needed here."""

    def rows(self, statement: str, arguments: t.Sequence[t.Any] = ()) -> list[dict[str, t.Any]]:
        """Rows of a statement."""


def observe(server: Asks, accounts: t.Sequence[tuple[str, str]], schemas: t.Sequence[str]) -> dict[str, t.Any]:
    """All that makes an account and a schema what they are, with the hashes of passwords."""
    found: dict[str, t.Any] = {}
    for name, host in accounts:
        found[f"{name}@{host}"] = [
            _said(server, f"SHOW {what} %s@%s", (name, host)) for what in ("CREATE USER", "GRANTS FOR")
        ]
    found["anonymous"] = _said(server, "SELECT Host FROM mysql.user WHERE User = ''")
    found["schemas"] = {
        name: _said(server, "SELECT DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s", (name,))
        for name in (*schemas, "test")
    }
    return found


def complete(observed: t.Mapping[str, t.Any]) -> bool:
    """Whether the server answered every question. One that it refused cannot tell a drift."""
    return not any(said is None or (isinstance(said, list) and None in said) for said in observed.values())


def digest(wanted: str, observed: t.Mapping[str, t.Any]) -> str:
    """One value that differs whenever anything differs."""
    text = json.dumps([_FORMAT, wanted, observed], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _said(server: Asks, statement: str, arguments: t.Sequence[t.Any] = ()) -> list[str] | None:
    """The rows as text, in an order of their own; None where the server refuses: there is no such account."""
    try:
        return sorted(str(list(row.values())) for row in server.rows(statement, arguments))
    except StatementFailed:
        return None
