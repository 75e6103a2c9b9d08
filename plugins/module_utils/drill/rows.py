# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows that a drill has written: which are in this database, and away with them."""

from __future__ import annotations

import re
import typing as t

from ..connection import Connection, Endpoint
from ..dialect import SCHEMA
from ..errors import Refused
from .watching import PREFIX


def check_name(run: str) -> None:
    """Raises Refused for a name that could mean anything else in a pattern."""
    if not re.fullmatch(r"[a-z0-9]{1,16}", run):
        raise Refused("The name of a drill has other characters than a-z and 0-9, or too many.", "Nothing was broken.")


def rows(endpoint: Endpoint, run: str, remove: bool) -> dict[str, t.Any]:
    """present: their names. role: of this database; where it is the primary they can be removed, and so from both. Raises TandemError."""
    check_name(run)
    pattern = (f"{PREFIX}{run}-%",)
    with Connection(endpoint) as connection:
        present = [str(row["name"]) for row in connection.rows(f"SELECT name FROM {SCHEMA}.canary WHERE name LIKE %s", pattern)]
        role = "primary" if str(connection.value("SELECT @@GLOBAL.read_only")).upper() in ("0", "OFF") else "replica"
        if remove and role == "primary":
            connection.rows(f"DELETE FROM {SCHEMA}.canary WHERE name LIKE %s", pattern)
    return {"present": present, "role": role}
