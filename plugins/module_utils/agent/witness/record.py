# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the witness keeps: one line of text, different each time it is written. Pure.

    tandem1/HOLDER/SERIAL/LEASE/EPOCH/WRITER/SOLO/FIRM

An empty HOLDER: the lease has been given back. "-": there was no record, so somebody may hold the lease all the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from urllib.parse import quote, unquote

from ..model import Term

NOBODY_KNOWN = "-"
_MARK = "tandem1"
_LONGEST = 3600.0


@dataclass(frozen=True)
class Record:
    """serial: never the same twice. lease: seconds for which it is meant."""

    holder: str
    serial: str
    lease: float
    term: Term

    @property
    def text(self) -> str:
        """One word of letters, digits and /%._~-"""
        term = self.term
        words = [self.holder, self.serial, f"{self.lease:g}", str(term.epoch), term.writer, str(int(term.solo)), str(int(term.firm))]
        return "/".join([_MARK, *(quote(word, safe="") for word in words)])


def parse(text: str) -> Record | None:
    """None: that is nothing that an agent has written."""
    words = [unquote(word) for word in text.split("/")]
    if len(words) != 8 or words[0] != _MARK or not words[2]:
        return None
    holder, serial, lease, epoch, writer, solo, firm = words[1:]
    try:
        seconds, number = float(lease), int(epoch)
    except ValueError:
        return None
    if not (math.isfinite(seconds) and 0 < seconds <= _LONGEST) or solo not in ("0", "1") or firm not in ("0", "1"):
        return None
    return Record(holder, serial, seconds, Term(number, writer, solo == "1", firm == "1"))
