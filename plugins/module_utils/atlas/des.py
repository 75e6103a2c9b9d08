# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DES (FIPS 46-3), because Atlas knows nothing else. It protects nothing today: never use it for anything of our own.

Bits are counted from 1 at the left, as in the standard. Slow, which a password does not notice.
"""

from __future__ import annotations

import typing as t

BLOCK = 8  # bytes

# fmt: off
_INITIAL = (
    58, 50, 42, 34, 26, 18, 10, 2, 60, 52, 44, 36, 28, 20, 12, 4, 62, 54, 46, 38, 30, 22, 14, 6, 64, 56, 48, 40, 32, 24, 16, 8,
    57, 49, 41, 33, 25, 17, 9, 1, 59, 51, 43, 35, 27, 19, 11, 3, 61, 53, 45, 37, 29, 21, 13, 5, 63, 55, 47, 39, 31, 23, 15, 7,
)
_EXPANSION = (
    32, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9, 8, 9, 10, 11, 12, 13, 12, 13, 14, 15, 16, 17,
    16, 17, 18, 19, 20, 21, 20, 21, 22, 23, 24, 25, 24, 25, 26, 27, 28, 29, 28, 29, 30, 31, 32, 1,
)
_PERMUTATION = (
    16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4, 25,
)
_CHOICE_1 = (
    57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36,
    63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4,
)
_CHOICE_2 = (
    14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2,
    41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
)
# fmt: on
_SHIFTS = (1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1)
# Eight boxes of four rows of sixteen hexadecimal digits.
_BOXES = tuple(
    tuple(row.split())
    for row in (
        "e4d12fb83a6c5907 0f74e2d1a6cb9538 41e8d62bfc973a50 fc8249175b3ea06d",
        "f18e6b34972dc05a 3d47f28ec01a69b5 0e7ba4d158c6932f d8a13f42b67c05e9",
        "a09e63f51dc7b428 d709346a285ecbf1 d6498f30b12c5ae7 1ad069874fe3b52c",
        "7de3069a1285bc4f d8b56f03472c1ae9 a690cb7df13e5284 3f06a1d8945bc72e",
        "2c417ab6853fd0e9 eb2c47d150fa3986 421bad78f9c5630e b8c71e2d6f09a453",
        "c1af92680d34e75b af427c9561de0b38 9ef528c3704a1db6 432c95fabe17608d",
        "4b2ef08d3c975a61 d0b7491ae35c2f86 14bdc37eaf680592 6bd814a7950fe23c",
        "d2846fb1a93e50c7 1fd8a374c56b0e92 7b419ce206adf358 21e74a8dfc90356b",
    )
)


def _pick(value: int, width: int, table: t.Sequence[int]) -> int:
    """The bits of a value of this width, in the order of the table."""
    picked = 0
    for position in table:
        picked = picked << 1 | (value >> width - position) & 1
    return picked


_FINAL = tuple(_INITIAL.index(position) + 1 for position in range(1, 65))


def _round_keys(key: bytes) -> list[int]:
    both = _pick(int.from_bytes(key, "big"), 64, _CHOICE_1)
    left, right = both >> 28, both & 0xFFFFFFF
    keys = []
    for shift in _SHIFTS:
        left, right = ((half << shift | half >> 28 - shift) & 0xFFFFFFF for half in (left, right))
        keys.append(_pick(left << 28 | right, 56, _CHOICE_2))
    return keys


def _mix(half: int, key: int) -> int:
    wide = _pick(half, 32, _EXPANSION) ^ key
    narrow = 0
    for number, box in enumerate(_BOXES):
        six = wide >> 42 - 6 * number & 0x3F
        row, column = (six >> 4 & 2) | six & 1, six >> 1 & 0xF
        narrow = narrow << 4 | int(box[row][column], 16)
    return _pick(narrow, 32, _PERMUTATION)


def encrypt_ecb(plain: bytes, key: bytes) -> bytes:
    """Each block by itself. Key: 8 bytes, of which the last bit of each is ignored. ValueError on a broken block."""
    if len(key) != BLOCK or len(plain) % BLOCK:
        raise ValueError("DES takes a key of 8 bytes and whole blocks of 8 bytes")
    keys = _round_keys(key)
    done = bytearray()
    for start in range(0, len(plain), BLOCK):
        both = _pick(int.from_bytes(plain[start : start + BLOCK], "big"), 64, _INITIAL)
        left, right = both >> 32, both & 0xFFFFFFFF
        for round_key in keys:
            left, right = right, left ^ _mix(right, round_key)
        done += _pick(right << 32 | left, 64, _FINAL).to_bytes(BLOCK, "big")
    return bytes(done)
