# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables that replication has trouble with."""

from __future__ import annotations

from .model import PASS, WARN, Context, Finding, OnNode, Rule, Seen, some, unseen


def _primary_key(_context: Context, seen: Seen) -> Finding:
    expected = "every table has one"
    found = seen.more.without_key
    if found is None:
        return unseen(seen, "tables", expected)
    if not found:
        return Finding(PASS, f"{seen.more.tables} tables", expected)
    reason = f"No primary key: {some(found)}. The replica reads the whole table for each row that changes."
    return Finding(WARN, list(found), expected, reason, "ALTER TABLE ... ADD PRIMARY KEY.")


def _storage_engine(_context: Context, seen: Seen) -> Finding:
    expected = "every table is InnoDB"
    found = seen.more.not_innodb
    if found is None:
        return unseen(seen, "tables", expected)
    if not found:
        return Finding(PASS, f"{seen.more.tables} tables", expected)
    reason = f"Not InnoDB: {some(found)}. What is written there is not undone with its transaction, and a crash may tear it."
    return Finding(WARN, list(found), expected, reason, "ALTER TABLE ... ENGINE = InnoDB.")


RULES: tuple[Rule, ...] = (
    OnNode("data-primary-key", _primary_key),
    OnNode("data-storage-engine", _storage_engine),
)
