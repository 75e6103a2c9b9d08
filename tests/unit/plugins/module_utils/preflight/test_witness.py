# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said about a witness that cannot be one: one sentence per fault, and never a secret."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.preflight import values, witness

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0Z6uXxGN5pZ4dPpV7oQ1uP5Yf3a2b4c5d6e7f8g9h0"
SSH = {"driver": "ssh", "host": "203.0.113.9", "host_key": KEY}
SECRET = "dGhpcyBpcyBhIHRlc3Qgc2VjcmV0Lg=="
DNS = {"driver": "dns", "server": "203.0.113.53", "zone": "lease.example.com", "record": "pair", "key_name": "pair", "key_secret": SECRET}
HOSTS = {"node-a": "203.0.113.1", "node-b": "b.example.com"}
NAMES = {"b.example.com": ["203.0.113.2"], "witness.example.com": ["203.0.113.9"], "also-b.example.com": ["203.0.113.2"], "localhost": ["127.0.0.1"]}


def faults(given: Any, witnesses: dict[str, str] | None = None) -> list[str]:
    vips = {"tandem_outside_vip": "192.0.2.100", "tandem_inside_vip": "198.51.100.100", "tandem_witness": given}
    nodes = {
        "node-a": {"tandem_outside_address": "192.0.2.11", "tandem_inside_address": "198.51.100.11", **vips},
        "node-b": {"tandem_outside_address": "192.0.2.12", "tandem_inside_address": "198.51.100.12", **vips},
    }
    found = witness.check(nodes, HOSTS, witnesses or {}, lambda name: NAMES.get(name, []))
    return [str(fault) for fault in found]


@pytest.mark.parametrize("given", [SSH, DNS, None, {}, {**SSH, "host": "witness.example.com", "port": "2222", "user": "pair_1"},
                                   {**SSH, "host": "not-in-the-dns.example.com"}, {**DNS, "port": 5353, "algorithm": "hmac-sha512"},
                                   {**DNS, "record": "pair.lease.example.com."}])  # fmt: skip
def test_a_good_one(given: Any) -> None:
    assert faults(given) == []


def test_the_host_key_may_come_from_the_group() -> None:
    given = {"driver": "ssh", "host": "203.0.113.9"}
    assert faults(given, {"third": "203.0.113.9"}) == []
    assert ["host_key is not set" in each for each in faults(given)] == [True]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"host": "x"}, "driver is not set. Choose ssh or dns."),
        ({**SSH, "driver": "smoke"}, "driver is 'smoke'"),
        ({**SSH, "hostkey": KEY}, "hostkey is not a key of driver ssh. Did you mean host_key?"),
        ({"driver": "ssh", "host_key": KEY}, "tandem_witness.host is not set."),
        ({**SSH, "port": 70000}, "port is 70000"),
        ({**SSH, "port": "ssh"}, "port is 'ssh'"),
        ({**SSH, "user": "root"}, "user is root."),
        ({**SSH, "user": "a b"}, "not the name of an account"),
        ({**SSH, "host_key": "/etc/ssh/key.pub"}, "not the public key of a host"),
        ({**SSH, "host": "192.0.2.11"}, "the witness is node-a"),
        ({**SSH, "host": "node-b"}, "the witness is node-b"),
        ({**SSH, "host": "203.0.113.2"}, "the witness is node-b"),
        ({**SSH, "host": "also-b.example.com"}, "the witness is node-b"),
        ({**SSH, "host": "192.0.2.100"}, "the witness is an address that moves"),
        ({**SSH, "host": "localhost"}, "the witness is the node itself"),
        ({**DNS, "server": "198.51.100.12"}, "the witness is node-b"),
        ({**DNS, "server": "127.0.0.1"}, "the witness is the node itself"),
        ({**DNS, "server": "ns.example.com"}, "which is not an address"),
        ({**DNS, "record": "pair.example.net."}, "not in the zone"),
        ({**DNS, "zone": "lease example"}, "tandem_witness.zone is 'lease example'"),
        ({**DNS, "algorithm": "hmac-sha265"}, "Did you mean hmac-sha256?"),
        ({**DNS, "key_secret": "short"}, "key_secret is not 16 or more bytes in base64"),
        ({**DNS, "key_secret": 12345}, "key_secret is not 16 or more bytes in base64"),
        ({**DNS, "host": "x"}, "host is not a key of driver dns."),
    ],
)
def test_one_sentence_per_fault(given: Any, said: str) -> None:
    found = faults(given)
    assert len(found) == 1 and said in found[0], found
    assert SECRET not in found[0] and "short" not in found[0]


def test_two_witnesses_or_a_node_as_one() -> None:
    assert "2 hosts: third and fourth" in faults(SSH, {"third": "x", "fourth": "y"})[0]
    assert ["the witness is node-b" in each for each in faults(SSH, {"node-b": "b.example.com"})] == [True]


def test_no_secret_is_shown_where_the_nodes_differ_or_it_is_no_mapping() -> None:
    nodes = {"node-a": {"tandem_witness": DNS}, "node-b": {"tandem_witness": {**DNS, "port": 54}}}
    found = [str(fault) for fault in values.check(nodes, {}) if "tandem_witness" in str(fault)]
    assert len(found) == 1 and "differs" in found[0] and SECRET not in found[0]
    found = [str(fault) for fault in values.check({"node-a": {"tandem_witness": SECRET}}, {}) if "tandem_witness" in str(fault)]
    assert found == ["node-a: tandem_witness is not a mapping. Write one key and its value per line, indented below it."]
