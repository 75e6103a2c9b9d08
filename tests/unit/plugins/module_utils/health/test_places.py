"""What a node has."""

from __future__ import annotations

import os

from ansible_collections.tandem.lemp.plugins.module_utils.health.places import disks, held

TRIE = """Main:
  +-- 0.0.0.0/0 3 0 4
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 192.0.2.0/24 2 0 1
        |-- 192.0.2.0
           /24 link UNICAST
        |-- 192.0.2.11
           /32 host LOCAL
        |-- 192.0.2.100
           /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
"""


def test_an_address_is_here_or_not(tmp_path) -> None:
    (tmp_path / "trie").write_text(TRIE)
    wanted = {"outside": "192.0.2.100", "inside": "192.0.2.10", "network": "192.0.2.255"}
    assert held(wanted, str(tmp_path / "trie")) == {"outside": True, "inside": False, "network": False}


def test_this_machine_has_its_own_address() -> None:
    assert held({"loopback": "127.0.0.1", "test": "192.0.2.77"}) == {"loopback": True, "test": False}


def test_what_cannot_be_read_says_nothing(tmp_path) -> None:
    assert held({"outside": "192.0.2.1"}, str(tmp_path / "none")) == {}


def test_each_file_system_is_there_once(tmp_path) -> None:
    found = disks([str(tmp_path), str(tmp_path / ".."), "/no/such/place"])
    assert [disk["path"] for disk in found] == [str(tmp_path)]
    assert 0 < found[0]["free"] <= found[0]["size"] == os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize
