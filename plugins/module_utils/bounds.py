# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers that an operator gives. One that makes no sense is refused before anything is looked at."""

from __future__ import annotations

import typing as t

from .errors import Refused

# Seconds: ten days, longer than anybody waits for anything here.
LONG = 864000.0


def require(params: t.Mapping[str, t.Any], **bounds: tuple[float, float]) -> None:
    """Raises Refused with every number that is out of its bounds. "nan" is out of all of them, and would end no wait."""
    wrong = [
        f"{name} is {params[name]:g}, and has to be from {least:g} to {most:g}."
        for name, (least, most) in bounds.items()
        if params[name] is not None and not least <= params[name] <= most
    ]
    if wrong:
        raise Refused(" ".join(wrong), "Nothing was changed.")
