# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node says of itself, with the time that the other one sends back. Pure."""

from __future__ import annotations

import math
import typing as t
from dataclasses import replace

from .model import Said
from .wire import from_said, to_said


def spoken(said: Said, at: float, echo: float | None) -> dict[str, t.Any]:
    """at: this node's clock, which the peer sends back. echo: the newest such time of the peer that has come here."""
    return {**from_said(replace(said, echo=echo)), "at": at}


def heard(plain: t.Any) -> tuple[Said, float] | None:
    """What the peer says, and its time; None for anything else. It is authentic, but perhaps of another version."""
    said = to_said(plain)
    at = plain.get("at") if isinstance(plain, dict) else None
    if said is None or isinstance(at, bool) or not isinstance(at, (int, float)) or not math.isfinite(at):
        return None
    return said, float(at)
