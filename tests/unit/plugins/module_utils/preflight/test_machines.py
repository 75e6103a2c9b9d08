# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two machines that fit the inventory, and what is said when one of them does not."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.machine import upgrades_itself
from ansible_collections.tandem.lemp.plugins.module_utils.preflight import machines

NODES: dict[str, dict[str, Any]] = {
    name: {
        "tandem_outside_interface": "eth0",
        "tandem_outside_network": "192.0.2.0/24",
        "tandem_outside_address": f"192.0.2.{number}",
        "tandem_outside_vip": "192.0.2.100",
        "tandem_inside_interface": "eth1",
        "tandem_inside_network": "198.51.100.0/24",
        "tandem_inside_address": f"198.51.100.{number}",
        "tandem_inside_vip": "198.51.100.100",
        "tandem_database_engine": "mariadb",
        "tandem_management_networks": ["203.0.113.0/24"],
        "tandem_sites": [{"name": "blog", "user": "site-blog", "php_port": 9000}],
    }
    for name, number in (("node-a", 11), ("node-b", 12))
}


def machine(number: int) -> dict[str, Any]:
    return {
        "distribution": "debian",
        "distribution_version": "12",
        "distribution_title": "Debian GNU/Linux 12 (bookworm)",
        "root": True,
        "systemd": True,
        "python": [3, 11, 2],
        "memory_mb": 2048,
        "disks": {
            "/": {"device": 1, "free_mb": 9000, "total_mb": 20000, "used_percent": 55},
            "/var/lib/mysql": {"device": 1, "free_mb": 9000, "total_mb": 20000, "used_percent": 55},
        },
        "machine": f"mark{number}",
        "interfaces": {
            "lo": {"mac": "00:00:00:00:00:00", "up": True, "addresses": {"127.0.0.1": 8}},
            "eth0": {"mac": f"02:00:00:00:00:{number}", "up": True, "addresses": {f"192.0.2.{number}": 24}},
            "eth1": {"mac": f"02:00:00:00:01:{number}", "up": True, "addresses": {f"198.51.100.{number}": 24}},
        },
        "packages_installed": [],
        "packages_available": ["mariadb-server"],
        "listeners": [
            {"address": "0.0.0.0", "port": 22, "processes": ["sshd"]},
            {"address": "0.0.0.0", "port": 80, "processes": ["nginx"]},
            {"address": "198.51.100.100", "port": 3306, "processes": ["mariadbd"]},
            {"address": "127.0.0.1", "port": 6446, "processes": ["haproxy"]},
            {"address": f"198.51.100.{number}", "port": 9000, "processes": ["php-fpm8.2"]},
        ],
        "atlas_units": [],
        "homes": {"root": "/root", "site-blog": "/var/lib/tandem/sites/blog", "anna": "/home/anna"},
        "files_missing": [],
        "upgrades_itself": False,
        "ssh_client": "203.0.113.5",
        "clock_offset": [-0.2, 0.1],
        "answers": {"192.0.2.100": [], "198.51.100.100": []},
    }


def good() -> dict[str, Any]:
    return {"node-a": machine(11), "node-b": machine(12)}


def faults(seen: dict[str, Any], **variables: Any) -> list[str]:
    nodes = copy.deepcopy(NODES)
    for values in nodes.values():
        values.update(variables)
    return [str(fault) for fault in machines.check(nodes, seen)]


def test_two_fitting_machines_have_no_fault() -> None:
    assert faults(good()) == []


def test_an_administrator_who_comes_over_ipv6_is_let_in() -> None:
    seen = good()
    for one in seen.values():
        one["ssh_client"] = "2001:db8::9"
    assert faults(seen, tandem_management_networks=["203.0.113.0/24", "2001:db8::/32"]) == []


def test_a_machine_that_could_not_be_asked_is_not_judged() -> None:
    assert faults({"node-a": machine(11), "node-b": None}) == []


CHANGES = [
    ({"root": False}, "node-b: Ansible is not root there."),
    ({"systemd": False}, "node-b: systemd is not running."),
    (
        {"distribution_version": "11", "distribution_title": "Debian 11"},
        "it runs Debian 11; supported are Debian 12 and",
    ),
    ({"distribution": "ubuntu", "distribution_version": "12"}, "supported are Debian 12 and Debian 13."),
    ({"python": [3, 9, 2]}, "its Python is 3.9."),
    ({"memory_mb": 512}, "it has 512 MB of memory, fewer than 900."),
    ({"packages_installed": ["mysql-server"]}, "mysql-server is installed, and tandem_database_engine is mariadb."),
    (
        {"packages_available": ["mysql-server"]},
        "has no package mariadb-server. Set tandem_database_engine: mysql, or add",
    ),
    ({"packages_available": []}, "has no package mariadb-server. Add a package source"),
    ({"atlas_units": ["atlas-main.service"]}, "Atlas is set up here (atlas-main.service), although nobody listens, and tandem_sql_proxy is not"),
    ({"homes": {"site-blog": "/home/blog"}}, "the account site-blog is there already, with the home /home/blog: it is no site's. Give site blog a user of"),
    ({"listeners": [{"address": "*", "port": 80, "processes": ["apache2"]}]}, "apache2 listens on port 80, which nginx needs. Stop it"),
    ({"listeners": [{"address": "::", "port": 9000, "processes": ["minio"]}]}, "minio listens on port 9000, which php-fpm of site blog needs."),
    ({"listeners": [{"address": "127.0.0.1", "port": 3306, "processes": ["ssh"]}]}, "ssh listens on port 3306, which the database needs."),
    ({"files_missing": ["/etc/ssl/site/key.pem"]}, "there is no file /etc/ssl/site/key.pem."),
    ({"ssh_client": "10.0.0.9"}, "comes from 10.0.0.9, which is in none of tandem_management_networks."),
    ({"ssh_client": "2001:db8::9"}, "comes from 2001:db8::9, which is in none of tandem_management_networks."),
    ({"ssh_client": "fe80::9%eth0"}, "comes from fe80::9, which is in none of tandem_management_networks."),
    ({"machine": "mark11"}, "node-a and node-b: they are one machine, or clones"),
    ({"clock_offset": [-9.0, -8.5]}, "node-a and node-b: their clocks differ by at least 8.3 s."),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES, ids=lambda value: str(value)[:40])
def test_a_machine_that_does_not_fit(change: dict[str, Any], expected: str) -> None:
    seen = good()
    seen["node-b"].update(change)
    found = faults(seen)
    assert len(found) == 1, found
    assert expected in found[0]


def test_what_is_not_known_is_no_fault() -> None:
    seen = good()
    seen["node-b"].update({"packages_available": None, "ssh_client": "", "machine": "", "clock_offset": []})
    assert faults(seen) == []


def test_an_installed_server_needs_no_package_source() -> None:
    seen = good()
    for each in seen.values():
        each.update({"packages_installed": ["mysql-server"], "packages_available": []})
    assert faults(seen, tandem_database_engine="mysql") == []


def test_an_untested_distribution_at_ones_own_risk() -> None:
    seen = good()
    seen["node-b"]["distribution"] = "ubuntu"
    assert faults(seen, tandem_unsupported_ok=True) == []


def test_a_full_disk_is_said_once_although_two_paths_are_on_it() -> None:
    seen = good()
    for disk in seen["node-b"]["disks"].values():
        disk["free_mb"] = 12
    assert faults(seen) == ["node-b: / has 12 MB free, fewer than 1500. Make room, or set tandem_minimum_free_mb."]
    assert faults(seen, tandem_minimum_free_mb=10) == []


def test_the_interface_with_the_address_is_named() -> None:
    seen = good()
    seen["node-b"]["interfaces"]["ens18"] = seen["node-b"]["interfaces"].pop("eth0")
    assert faults(seen) == ["node-b: tandem_outside_interface eth0 does not exist. 192.0.2.12 is on ens18: write that."]


def test_interfaces_that_do_not_carry_what_is_declared() -> None:
    seen = good()
    seen["node-a"]["interfaces"]["eth0"]["addresses"] = {"192.0.2.77": 24}
    seen["node-b"]["interfaces"]["eth0"]["addresses"] = {"192.0.2.12": 25}
    seen["node-b"]["interfaces"]["eth1"]["up"] = False
    assert faults(seen) == [
        "node-a: tandem_outside_address 192.0.2.11 is not on eth0, which has 192.0.2.77. Correct either.",
        "node-b: 192.0.2.12 has the prefix /25 on eth0, and tandem_outside_network is 192.0.2.0/24. Make them equal.",
        "node-b: interface eth1 is down. Bring it up, and make it come up at boot.",
    ]


def test_slow_answers_do_not_look_like_a_wrong_clock() -> None:
    seen = good()
    seen["node-a"]["clock_offset"] = [-6.0, 0.1]
    seen["node-b"]["clock_offset"] = [-0.1, 7.0]
    assert faults(seen) == []


def test_a_vip_that_the_pair_holds_is_its_own() -> None:
    seen = good()
    seen["node-b"]["answers"]["192.0.2.100"] = ["02:00:00:00:00:11"]
    assert faults(seen) == []


def test_a_vip_that_somebody_else_holds() -> None:
    seen = good()
    for each in seen.values():
        each["answers"]["192.0.2.100"] = ["02:99:00:00:00:01"]
    assert faults(seen) == [
        "both nodes: tandem_outside_vip 192.0.2.100 is in use by another machine (02:99:00:00:00:01). "
        "Free it, or choose another address."
    ]


def test_with_one_node_unreachable_nobody_knows_whose_the_answer_is() -> None:
    seen = {"node-a": machine(11), "node-b": None}
    seen["node-a"]["answers"]["192.0.2.100"] = ["02:00:00:00:00:12"]
    assert faults(seen) == []


def test_updates_that_come_by_themselves_are_worth_a_word() -> None:
    seen: dict[str, Any] = {"node-a": machine(11), "node-b": None}
    assert list(machines.advice(seen)) == []
    seen["node-a"]["upgrades_itself"] = True
    (told,) = machines.advice(seen)
    assert told.startswith("node-a installs updates by itself.") and "rolling_update.yml" in told


@pytest.mark.parametrize(
    ("installed", "configured", "timer", "expected"),
    [
        ("installed", 'APT::Periodic::Unattended-Upgrade "1";', "enabled", True),
        ("installed", 'APT::Periodic::Unattended-Upgrade "0";', "enabled", False),
        ("installed", "", "enabled", False),
        ("installed", 'APT::Periodic::Unattended-Upgrade "1";', "disabled", False),
        ("config-files", 'APT::Periodic::Unattended-Upgrade "1";', "enabled", False),
    ],
)
def test_they_come_when_package_setting_and_timer_are_there(installed: str, configured: str, timer: str, expected: bool) -> None:
    answers = {"dpkg-query": f"{installed} unattended-upgrades\n", "apt-config": configured + "\n", "systemctl": timer + "\n"}
    assert upgrades_itself(lambda command: (0, answers[command[0]], "")) is expected
