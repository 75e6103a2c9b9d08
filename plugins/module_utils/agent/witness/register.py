# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a witness is: one register on a third machine, read, and compared and set. Each driver is one."""

from __future__ import annotations

import typing as t


class WitnessError(Exception):
    """No answer that means anything. Whether a change was made is then not known."""


class Unreachable(WitnessError):
    """It does not answer, or not in time."""


class Misconfigured(WitnessError):
    """It answers, and will not do what it is asked until a person mends something. The text says what."""


class Register(t.Protocol):
    """Used by one thread at a time, but for close. Each call raises WitnessError, after a few seconds at most."""

    def read(self) -> str | None:
        """What it holds; None: nothing was ever written."""

    def swap(self, old: str | None, new: str) -> bool:
        """Write new if it holds old, both in one, and on its disk before it says so. False: it holds something else."""

    def close(self) -> None:
        """Let go of everything; breaks off a call of another thread."""
