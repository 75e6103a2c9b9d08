# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords as Atlas' own tool encrypts them: its vectors, and another implementation of DES."""

from __future__ import annotations

import base64
import json
import warnings
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as some

from ansible_collections.tandem.lemp.plugins.filter.atlas_encrypt import FilterModule, atlas_encrypt
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.des import encrypt_ecb
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.password import (
    LONGEST,
    BadPassword,
    as_the_tool,
    encrypt,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # DES is what Atlas speaks
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
    from cryptography.hazmat.primitives.ciphers import Cipher, modes

VECTORS = json.loads((Path(__file__).parent / "data" / "encrypt-vectors.json").read_text(encoding="utf-8"))


def des(key: bytes) -> Cipher:
    """Single DES: three times with one key is once."""
    return Cipher(TripleDES(key * 3), modes.ECB())


def plain_of(encrypted: str) -> bytes:
    """What Atlas reads out of it."""
    decryptor = des(b"aCtZlHaU").decryptor()
    data = decryptor.update(base64.b64decode(encrypted)) + decryptor.finalize()
    assert data[-data[-1] :] == bytes([data[-1]]) * data[-1]
    return data[: -data[-1]]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["plain"])
def test_the_tools_own_output(vector) -> None:
    assert vector["plain"].encode() == bytes.fromhex(vector["plain_utf8_hex"])
    assert atlas_encrypt(vector["plain"]) == vector["base64"]


def test_an_empty_password_is_one_block_of_padding() -> None:
    assert encrypt("") == "GvLP6FmZTL0="


@given(plain=some.binary(max_size=64).map(lambda data: data[: len(data) // 8 * 8]), key=some.binary(min_size=8, max_size=8))
def test_des_is_des(plain: bytes, key: bytes) -> None:
    encryptor = des(key).encryptor()
    assert encrypt_ecb(plain, key) == encryptor.update(plain) + encryptor.finalize()


@given(some.text(some.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=LONGEST))
def test_atlas_reads_what_was_encrypted(password: str) -> None:
    if len(password.encode()) > LONGEST:
        with pytest.raises(BadPassword):
            encrypt(password)
        return
    encrypted = encrypt(password)
    assert "\n" not in encrypted and "," not in encrypted and ":" not in encrypted
    assert plain_of(encrypted) == password.encode()


@given(some.binary(max_size=300))
def test_long_ones_are_folded_as_the_tool_folds_them(plain: bytes) -> None:
    lines = as_the_tool(plain).split("\n")
    assert all(len(line) == 64 for line in lines[:-1]) and 0 < len(lines[-1]) <= 64
    assert plain_of("".join(lines)) == plain


@pytest.mark.parametrize(("length", "lines"), [(47, 1), (48, 2), (95, 2), (96, 3)])
def test_where_the_line_breaks(length: int, lines: int) -> None:
    assert as_the_tool(b"x" * length).count("\n") + 1 == lines


@pytest.mark.parametrize("password", ["x" * 47, "ä" * 23 + "x"])
def test_47_bytes_are_taken(password: str) -> None:
    assert len(encrypt(password)) == 64


@pytest.mark.parametrize("password", ["geheim99" * 6, "ä" * 24, "x" * 1000, "geheim99\0", "geheim99\udc80"])
def test_what_atlas_cannot_take_is_refused_and_not_repeated(password: str) -> None:
    with pytest.raises(AnsibleFilterError, match=r"shorter|another") as refused:
        atlas_encrypt(password)
    assert password not in str(refused.value) and "geheim" not in str(refused.value)


@pytest.mark.parametrize("password", [12345678, None, b"x", ["x"], 1.5, True])
def test_what_is_no_text_is_refused_and_not_repeated(password) -> None:
    with pytest.raises(AnsibleFilterError, match="in quotes") as refused:
        atlas_encrypt(password)
    assert "12345678" not in str(refused.value)


def test_its_name() -> None:
    assert FilterModule().filters() == {"atlas_encrypt": atlas_encrypt}


@pytest.mark.parametrize(("plain", "key"), [(b"1234567", b"12345678"), (b"12345678", b"1234567")])
def test_a_broken_block_or_key_is_refused(plain: bytes, key: bytes) -> None:
    with pytest.raises(ValueError, match="8 bytes"):
        encrypt_ecb(plain, key)
