# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest

from ansible_collections.tandem.lemp.plugins.filter.firewall_faults import firewall_faults

HERE = "198.51.100.7 50022 192.0.2.11 22"


def rule(**changes):
    return {"name": "ssh", "protocol": "tcp", "ports": [22], "sources": ["198.51.100.0/24"], **changes}


def test_rules_that_admit_the_present_connection_have_no_fault():
    assert firewall_faults([rule()], HERE) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"sources": []},
        {"sources": ["2001:db8::/32", "198.51.100.7"]},
        {"ports": ["20-30"], "sources": []},
        {"protocol": "any", "ports": []},
    ],
)
def test_ways_to_admit_it(changes):
    assert firewall_faults([rule(**changes)], HERE) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"sources": ["203.0.113.0/24"]},
        {"ports": [2222]},
        {"protocol": "udp"},
        {"interface": "eth2"},
        {"sources": ["2001:db8::/32"]},
    ],
)
def test_a_cut_of_the_present_connection_is_refused_with_the_address_to_add(changes):
    (fault,) = firewall_faults([rule(**changes)], HERE)
    assert "198.51.100.7 to port 22" in fault
    assert "tandem_management_networks" in fault  # in a pair, which overwrites the role's own
    assert "firewall_ssh_sources" in fault


def test_an_ipv6_client_with_a_zone():
    assert firewall_faults([rule(sources=["fe80::/10"])], "fe80::1%eth0 50022 fe80::2%eth0 22") == []


def test_nothing_is_cut_when_ansible_came_another_way():
    assert firewall_faults([rule(sources=["203.0.113.0/24"])], "") == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"name": 'x" accept comment "'}, "name"),
        ({"protocol": "gre", "ports": []}, "protocol"),
        ({"ports": []}, "no port"),
        ({"protocol": "vrrp"}, "vrrp has not"),
        ({"ports": [0]}, "port 0"),
        ({"ports": ["http"]}, "'http'"),
        ({"ports": ["30-20"]}, "'30-20'"),
        ({"sources": ["198.51.100.7/24"]}, "host bits"),
        ({"sources": ["the office"]}, "the office"),
    ],
)
def test_each_fault_is_named(changes, word):
    (fault,) = firewall_faults([rule(**changes)])
    assert word in fault


def test_all_faults_at_once():
    assert len(firewall_faults([rule(ports=["x"]), rule(protocol="gre", ports=[], sources=["y"])])) == 3
