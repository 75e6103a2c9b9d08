# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames as they are on the wire."""

from __future__ import annotations

from ansible_collections.tandem.lemp.plugins.module_utils.duplicate_address import holder, probe_frame

OWN = bytes.fromhex("020000000011")
OTHER = bytes.fromhex("029900000001")

# Taken from the wire: who-has 192.0.2.100, asked without a sender address.
PROBE = "ffffffffffff0200000000110806000108000604000102000000001100000000000000000000c0000264"
# The answer: 192.0.2.100 is at 02:99:00:00:00:01; real frames are padded to 60 bytes.
REPLY = "02000000001102990000000108060001080006040002029900000001c000026402000000001100000000" + "00" * 18


def test_a_probe_names_no_sender_address() -> None:
    assert probe_frame(OWN, "192.0.2.100").hex() == PROBE


def test_a_reply_names_the_holder() -> None:
    assert holder(bytes.fromhex(REPLY), OWN) == ("192.0.2.100", "02:99:00:00:00:01")


def test_an_announcement_of_another_machine_names_it_too() -> None:
    announcement = bytearray.fromhex(REPLY)
    announcement[21] = 1
    assert holder(bytes(announcement), OWN) == ("192.0.2.100", "02:99:00:00:00:01")


def test_own_frames_probes_of_others_and_noise_name_nobody() -> None:
    assert holder(bytes.fromhex(REPLY), OTHER) is None
    assert holder(bytes.fromhex(PROBE), OTHER) is None
    assert holder(b"", OWN) is None
    assert holder(bytes.fromhex(REPLY)[:30], OWN) is None
    assert holder(b"\x00" * 60, OWN) is None
