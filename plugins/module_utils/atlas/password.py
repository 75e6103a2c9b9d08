# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A password as Atlas wants it in pwds: what its tool "encrypt" prints.

Everybody can turn it back, since the key is in the program. It is a secret like the password itself.
"""

from __future__ import annotations

import base64

from ..errors import TandemError
from .des import BLOCK, encrypt_ecb

_KEY = b"aCtZlHaU"
_LINE = 64
LONGEST = 47  # bytes; with one more the tool folds the line, and an Atlas with a line that is folded does not start


class BadPassword(TandemError):
    """Atlas cannot take this password. The message never repeats it."""


def fold(text: str) -> str:
    """Lines of 64 characters, as OpenSSL's encoder makes them and the tool prints them."""
    return "\n".join(text[start : start + _LINE] for start in range(0, len(text), _LINE))


def as_the_tool(plain: bytes) -> str:
    """What the tool prints, of any length, so perhaps on several lines."""
    room = BLOCK - len(plain) % BLOCK
    return fold(base64.b64encode(encrypt_ecb(plain + bytes([room]) * room, _KEY)).decode("ascii"))


def encrypt(plain: str) -> str:
    """One line for the configuration file. Raises BadPassword where Atlas would not start, or would know another password."""
    try:
        data = plain.encode("utf-8")
    except UnicodeEncodeError:
        raise BadPassword("The password is no text that can be written as UTF-8.", "Choose another one.") from None
    if len(data) > LONGEST:
        raise BadPassword(
            f"The password has {len(data)} bytes. Atlas takes {LONGEST}: from 48 bytes on its encrypted form has two lines,"
            " and Atlas does not start.",
            "Choose a shorter one.",
        )
    if b"\0" in data:
        raise BadPassword("The password holds a NUL byte, at which Atlas would cut it.", "Choose another one.")
    return as_the_tool(data)
