# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What role operations writes is what the hand reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.errors import TandemError
from ansible_collections.tandem.lemp.plugins.module_utils.hand.client import peer_command
from ansible_collections.tandem.lemp.plugins.module_utils.hand.config import AtlasPort, HandConfig
from ansible_collections.tandem.lemp.plugins.module_utils.seed.mariadb import Donor

WRITTEN: dict[str, Any] = {
    "node": {"name": "node-a", "address": "198.51.100.11", "port": 3306},
    "peer": {"name": "node-b", "address": "198.51.100.12", "port": 3306},
    "engine": "mariadb",
    "service": "mariadb",
    "socket": "/run/mysqld/mysqld.sock",
    "datadir": "/var/lib/mysql",
    "ca": "/etc/tandem/pki/ca.pem",
    "replication_user": "tandem_repl",
    "replication_password": "secret one",
    "canary_user": "tandem_canary",
    "canary_password": "secret two",
    "own_accounts": ["tandem_repl"],
}
ATLAS = [{"host": address, "port": 2345, "user": "tandem", "password": "secret three"} for address in ("198.51.100.11", "198.51.100.12")]


def load(tmp_path: Path, **more: Any) -> HandConfig:
    path = tmp_path / "operations.json"
    path.write_text(json.dumps({**WRITTEN, **more}), encoding="utf-8")
    return HandConfig.load(path)


def test_a_pair_without_atlas(tmp_path: Path) -> None:
    assert load(tmp_path).atlas == load(tmp_path, atlas=[]).atlas == ()
    assert load(tmp_path).atlas_application is load(tmp_path, atlas_application=None).atlas_application is None


def test_the_admin_ports_of_both_nodes(tmp_path: Path) -> None:
    found = load(tmp_path, atlas=ATLAS)
    assert found.atlas[0] == AtlasPort("198.51.100.11", 2345, "tandem", "secret three")
    assert len(found.atlas) == 2
    assert load(tmp_path, atlas_application=ATLAS[0]).atlas_application == found.atlas[0]
    assert "secret" not in repr(found)


def test_the_port_of_sshd_reaches_who_goes_to_the_peer(tmp_path: Path) -> None:
    """An operations.json that was written before there was such a port means 22."""
    for more, port in (({}, "22"), ({"ssh_port": 2222}, "2222")):
        peer = load(tmp_path, **more).peer
        for argv in (peer_command(peer), Donor(peer.address, port=peer.ssh_port).argv()):
            assert f"Port={port}" in argv and "HostKeyAlias=198.51.100.12" in argv


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(TandemError, match="cannot be used"):
        load(tmp_path, atlas=[{"address": "198.51.100.11"}])
