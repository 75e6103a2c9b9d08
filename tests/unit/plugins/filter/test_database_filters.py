# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbook asks: who is primary, and which number a server has."""

from __future__ import annotations

import dataclasses
import json

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.tandem.lemp.plugins.filter.choose_primary import decision
from ansible_collections.tandem.lemp.plugins.filter.host_number import host_number
from ansible_collections.tandem.lemp.plugins.module_utils.state import RUNNING, Replication, ServerState

HELD = ServerState(state=RUNNING, engine="mariadb", read_only=True, schemas=("blog",), lineage="one", gtid="0-11-9")
REPLICA = dataclasses.replace(HELD, replication=Replication(source_host="192.0.2.12", io_running=True))


def test_a_state_survives_the_way_through_ansible():
    for state in (HELD, REPLICA, ServerState()):
        assert ServerState.from_dict(json.loads(json.dumps(state.as_dict()))) == state


def test_the_answers_of_both_nodes_name_the_primary():
    nodes = [
        {"name": "server1", "address": "192.0.2.11", "server": REPLICA.as_dict()},
        {"name": "server2", "address": "192.0.2.12", "server": HELD.as_dict()},
    ]
    assert decision(nodes)["primary"] == "server2"


@pytest.mark.parametrize("nodes", [[], "server1", [{"name": "server1"}, {"name": "server2"}]])
def test_anything_but_a_pair_is_an_error(nodes):
    with pytest.raises(AnsibleFilterError):
        decision(nodes)


@pytest.mark.parametrize(
    ("address", "network", "number"),
    [("192.0.2.11", "192.0.2.0/24", 11), ("10.1.2.3", "10.0.0.0/8", 66051), ("2001:db8::5", "2001:db8::/64", 5)],
)
def test_a_server_is_numbered_by_its_place_in_the_network(address, network, number):
    assert host_number(address, network) == number


@pytest.mark.parametrize(("address", "network"), [("198.51.100.1", "192.0.2.0/24"), ("x", "192.0.2.0/24")])
def test_an_address_outside_of_its_network_has_no_number(address, network):
    with pytest.raises(AnsibleFilterError):
        host_number(address, network)
