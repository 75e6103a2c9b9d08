# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every driver can do."""

from __future__ import annotations

import typing as t


class Driver(t.Protocol):
    """One way to keep writes out.

    fence() returns what unfence() needs to restore exactly what was before; it is on disk before anything is changed
    where plan() tells it beforehand.
    sufficient: whether it may be the only fence.
    """

    name: str
    sufficient: bool

    def fenced(self) -> bool:
        """Whether nothing of an application comes through this way."""

    def plan(self) -> dict[str, t.Any]:
        """What fence() will change, to be recorded first."""

    def fence(self, planned: t.Mapping[str, t.Any]) -> None: ...

    def prove(self) -> str:
        """Try it as an application would. Returns what was said; raises OperationFailed where a write could come through."""

    def unfence(self, recorded: t.Mapping[str, t.Any] | None) -> None:
        """Back to what was recorded; without a record, as open as this driver makes it."""
