# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An inventory without fault, and what is said when one thing in it is wrong."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.tandem.lemp.plugins.module_utils.preflight.judge import inventory_faults
from ansible_collections.tandem.lemp.plugins.module_utils.preflight.variables import KNOWN

SITE = {
    "name": "blog",
    "server_names": ["blog.example.com"],
    "application": "wordpress",
    "user": "site-blog",
    "root": "/usr/share/wordpress",
    "php_port": 9000,
    "sync": ["/var/lib/wordpress/wp-content/uploads"],
    "database": {"name": "blog", "user": "blog", "password": "vz6Yd0qTjw2mXk4L"},
}
COMMON: dict[str, Any] = {
    "tandem_traffic": "vip",
    "tandem_database": "replica",
    "tandem_files": "unison",
    "tandem_web": "nginx",
    "tandem_sql_proxy": "haproxy",
    "tandem_failback": "never",
    "tandem_database_engine": "mariadb",
    "tandem_outside_interface": "eth0",
    "tandem_outside_network": "192.0.2.0/24",
    "tandem_outside_vip": "192.0.2.100",
    "tandem_outside_reference": "192.0.2.1",
    "tandem_outside_router_id": 50,
    "tandem_inside_interface": "eth1",
    "tandem_inside_network": "198.51.100.0/24",
    "tandem_inside_vip": "198.51.100.100",
    "tandem_inside_router_id": 51,
    "tandem_management_networks": ["203.0.113.0/24"],
    "tandem_sites": [SITE],
    "tandem_controller_dir": "/home/admin/pair",
    "tandem_secret_replication": "aB3dE5gH7jK9mN1p",
    "tandem_secret_operator": "qR2tU4wX6zA8cD0f",
    "tandem_secret_monitor": "hJ5lN7pR9tV1xZ3b",
    "tandem_secret_heartbeat": "kM8oQ0sU2wY4aC6e",
}


def good() -> dict[str, dict[str, Any]]:
    """Return an inventory that nothing is wrong with."""
    return {
        "node-a": {
            **copy.deepcopy(COMMON),
            "tandem_priority": 201,
            "tandem_outside_address": "192.0.2.11",
            "tandem_inside_address": "198.51.100.11",
        },
        "node-b": {
            **copy.deepcopy(COMMON),
            "tandem_priority": 200,
            "tandem_outside_address": "192.0.2.12",
            "tandem_inside_address": "198.51.100.12",
        },
    }


def faults(nodes: dict[str, dict[str, Any]], **more: Any) -> list[str]:
    return [str(fault) for fault in inventory_faults(nodes, **more)]


def test_a_good_inventory_has_no_fault() -> None:
    assert faults(good()) == []


BOTH = [
    ("tandem_traffic", "dns", "tandem_traffic is 'dns', which is not available in this version. Choose vip."),
    ("tandem_traffic", "vips", "tandem_traffic is 'vips', which is not one of its values. Did you mean vip?"),
    ("tandem_sql_proxy", "none", "not available in this version. Choose haproxy or atlas."),
    ("tandem_files", "unision", "Did you mean unison?"),
    ("tandem_database_engine", "postgresql", "Choose mariadb or mysql."),
    ("tandem_outside_vip", "192.0.2.300", "tandem_outside_vip is '192.0.2.300', which is not an IPv4 address."),
    ("tandem_outside_vip", "2001:db8::1", "not an IPv4 address"),
    ("tandem_outside_vip", "10.0.0.1", "tandem_outside_vip 10.0.0.1 is not in 192.0.2.0/24."),
    ("tandem_outside_vip", "192.0.2.0", "is the network address of 192.0.2.0/24"),
    ("tandem_inside_vip", "198.51.100.255", "is the broadcast address of 198.51.100.0/24"),
    (
        "tandem_inside_vip",
        "198.51.100.11",
        "198.51.100.11 is used twice: tandem_inside_address of node-a and tandem_inside_vip.",
    ),
    ("tandem_outside_reference", "192.0.2.100", "used twice: tandem_outside_vip and tandem_outside_reference."),
    ("tandem_outside_network", "192.0.2.7/24", "Did you mean 192.0.2.0/24?"),
    ("tandem_outside_network", "192.0.2.0", "Write it as address/prefix"),
    ("tandem_outside_network", "198.51.0.0/16", "and the inside network 198.51.100.0/24 overlap."),
    ("tandem_outside_interface", "eth1", "eth1 is both the outside and the inside interface."),
    ("tandem_outside_router_id", 0, "It has to be 1 to 255."),
    ("tandem_outside_router_id", 256, "It has to be 1 to 255."),
    ("tandem_outside_router_id", 51, "tandem_outside_router_id and tandem_inside_router_id are both 51."),
    ("tandem_priority", 200, "tandem_priority is 200 on both."),
    ("tandem_priority", 255, "It has to be 1 to 254."),
    ("tandem_priority", "high", "not a whole number"),
    ("tandem_files_interval", "15", "tandem_files_interval is '15', which is a text. Write the number without quotes"),
    ("tandem_management_networks", ["203.0.113.9"], "'203.0.113.9', which is not a network. Write it as address/prefix"),
    ("tandem_management_networks", ["2001:db8::7/32"], "which is not a network. Did you mean 2001:db8::/32?"),
    ("tandem_outside_network", "2001:db8::/32", "which is not an IPv4 network. Write it"),
    ("tandem_management_networks", [], "tandem_management_networks is not set."),
    ("tandem_controller_dir", "pki", "which is not an absolute path"),
    ("tandem_unsupported_ok", "yes", "Write true or false, without quotes."),
    ("tandem_outside_more_vips", ["2001:db8::x"], "not a list of addresses"),
    ("tandem_hosts_extra", [{"name": "mail"}], "lacks a name or a valid address"),
    ("tandem_secret_operator", "CHANGE-ME-operator", "tandem_secret_operator is still the example, or easy to guess"),
    ("tandem_secret_operator", "short", "has 5 characters, which is fewer than 12."),
    ("tandem_secret_operator", "aaaaaaaaaaaaaaaa", "fewer than five different characters"),
    ("tandem_secret_operator", 1234567890123456, "is not a text: put it in quotes"),
    ("tandem_secret_operator", "aB3dE5gH7jK9mN1p", "tandem_secret_replication and tandem_secret_operator are the same"),
    ("tandem_secret_operator", "", "tandem_secret_operator is not set."),
    ("tandem_secret_operator", "aB3dE5gH7jK9m\u00fc1p", "tandem_secret_operator holds a letter that is not ASCII"),
    ("tandem_secret_monitor", " hJ5lN7pR9tV1xZ3b", "tandem_secret_monitor holds a letter that is not ASCII, or begins or ends with a blank"),
    ("tandem_secret_monitor", "'hJ5lN7pR9tV1xZ3b'", "begins or ends with a blank or a quotation mark"),
    ("tandem_secret_heartbeat", "kM8oQ0sU2wY4a", "tandem_secret_heartbeat has 13 characters, which is fewer than 16."),
    ("tandem_outside_vpi", "192.0.2.9", "not a variable of this collection. Did you mean tandem_outside_vip?"),
    ("tandem_tls", "files", "site blog: tandem_tls is files, and there is no tls_certificate."),
    ("tandem_sites", {"blog": SITE}, "tandem_sites is not a list."),
]


@pytest.mark.parametrize(("name", "value", "expected"), BOTH, ids=lambda value: str(value)[:40])
def test_what_is_wrong_on_both_nodes_is_said_once(name: str, value: Any, expected: str) -> None:
    nodes = good()
    for variables in nodes.values():
        variables[name] = value
    found = faults(nodes)
    assert sum(expected in fault for fault in found) == 1, found


@pytest.mark.parametrize("name", sorted(name for name, variable in KNOWN.items() if variable.required))
def test_a_variable_that_is_not_set_is_named_once_with_the_place_to_set_it(name: str) -> None:
    nodes = good()
    for variables in nodes.values():
        del variables[name]
    found = [fault for fault in faults(nodes) if f"{name} is not set." in fault]
    assert len(found) == 1
    assert found[0].startswith("both nodes: ")
    assert ("hosts.yml for each node" if KNOWN[name].per_host else "group_vars of the pair") in found[0]


SITES = [
    ({"name": "Blog!"}, "the name has to be lower-case letters"),
    ({"name": "global"}, "site global: that is php-fpm's name for what is no pool"),
    ({"server_names": []}, "site blog has no server_names."),
    ({"server_names": ["http://blog.example.com/"]}, "is not a host name"),
    ({"user": "www-data"}, "user www-data belongs to the system"),
    ({"user": "0day"}, "not a valid user name"),
    ({"php_port": 80}, "not a port from 1024 to 65535"),
    ({"php_port": 3306}, "php_port 3306 is used by the database"),
    ({"php_port": 9200}, "used by the health service"),
    ({"root": "srv/blog"}, "root 'srv/blog' is not an absolute path"),
    ({"root": "/"}, "root / belongs to the system"),
    ({"root": "/srv/www/shop/"}, "is not written plainly. Write /srv/www/shop."),
    ({"sync": ["/usr/share/wordpress/uploads/"]}, "is not written plainly. Write /usr/share/wordpress/uploads."),
    ({"sync": ["/usr/share//wordpress/uploads"]}, "is not written plainly. Write /usr/share/wordpress/uploads."),
    ({"sync": ["//usr/share/wordpress/uploads"]}, "is not written plainly. Write /usr/share/wordpress/uploads."),
    ({"root": "/shop"}, "belongs to the system"),
    ({"root": "/root/shop"}, "belongs to the system"),
    ({"root": "/srv/www/my shop"}, "holds .. or a character"),
    ({"root": "/srv/www/shop:old"}, "holds .. or a character"),
    ({"user": "tandem-hand"}, "user tandem-hand belongs to the system"),
    ({"root": "/srv/blog/../../etc"}, "holds .. or a character"),
    ({"sync": ["/var/lib"]}, "sync /var/lib belongs to the system"),
    ({"sync": ["/etc/nginx"]}, "sync /etc/nginx belongs to the system"),
    ({"sync": ["/var//lib/"]}, "belongs to the system"),
    ({"sync": ["/srv/blog/b\u00fccher"]}, "holds a character that cannot be synchronised"),
    ({"sync": ["/srv/blog/a+b"]}, "holds a character that cannot be synchronised"),
    ({"sync": ["/srv/blog/a."]}, "holds a character that cannot be synchronised"),
    ({"sync": ["/srv/a", "/srv/a/b"]}, "one of which holds the other"),
    ({"sync": "/srv/a"}, "sync is not a list"),
    ({"sync_excludes": "*.tmp"}, "sync_excludes is not a list of texts"),
    ({"sync_excludes": ["*.tmp", 2024]}, "sync_excludes is not a list of texts"),
    ({"params": ["A=b"]}, "site blog: params is not a mapping"),
    ({"params": {"API_KEY": "a$b"}}, "site blog: params: API_KEY cannot be written as it is. It holds no $"),
    ({"params": {"API_KEY": 'a"b'}}, "site blog: params: API_KEY cannot be written as it is"),
    ({"params": {"API_KEY": None}}, "site blog: params: API_KEY cannot be written as it is"),
    ({"params": {"API KEY": "a"}}, "site blog: params: 'API KEY' is not a name that can be set"),
    ({"php": "memory_limit=1G"}, "site blog: php is not a mapping"),
    ({"php": {"environment": {"SECRET": "a${HOME}b"}}}, "site blog: environment: SECRET cannot be written as it is. It holds something, no $ at its begin"),
    ({"php": {"environment": {"SECRET": "$ecret"}}}, "site blog: environment: SECRET cannot be written as it is"),
    ({"php": {"environment": {"SECRET": "a\nb"}}}, "site blog: environment: SECRET cannot be written as it is"),
    ({"php": {"environment": {"SECRET": ""}}}, "site blog: environment: SECRET cannot be written as it is"),
    ({"php": {"settings": {"user_agent": "a$pool"}}}, "site blog: settings: user_agent cannot be written as it is"),
    ({"php": {"settings": {"disable_functions": '"exec,passthru"'}}}, "site blog: settings: disable_functions stands in double quotes of its own"),
    ({"php": {"session_path": '"tcp://192.0.2.20"'}}, "site blog: php: session_path stands in double quotes of its own"),
    ({"php": {"session_path": "tcp://${HOST}"}}, "site blog: php: session_path cannot be written as it is"),
    ({"databse": {}}, "unknown key databse. Did you mean database?"),
    (
        {"database": {"name": "blog", "user": "root", "password": "vz6Yd0qTjw2mXk4L"}},
        "'root' cannot be its database user",
    ),
    ({"database": {"name": "mysql", "user": "blog", "password": "vz6Yd0qTjw2mXk4L"}}, "'mysql' cannot be its database"),
    ({"database": {"name": "test", "user": "blog", "password": "vz6Yd0qTjw2mXk4L"}}, "'test' cannot be its database: MariaDB lets anybody"),
    ({"database": {"name": "tandem", "user": "blog", "password": "vz6Yd0qTjw2mXk4L"}}, "'tandem' cannot be its database: the pair keeps"),
    ({"database": {"name": "blog", "user": "blog"}}, "its database has no password"),
    ({"application": "joomla"}, "application 'joomla' is not known. Choose none or wordpress"),
    ({"database": None}, "wordpress needs a database"),
    ({"database": None}, "site blog: database has no value. Give it one, or remove the line."),
    ({"sync": None}, "site blog: sync has no value."),
    ({"locations": None}, "site blog: locations has no value."),
    ({"php": None}, "site blog: php has no value."),
    ({"php_port": "9000"}, "site blog: php_port '9000' is a text. Write the number without quotes."),
    ({"balance": "sticky"}, "balance is 'sticky', which is not one of round_robin, least_conn, ip_hash, session, local."),
    ({"front_controller": "no"}, "front_controller is 'no', which is not true or false."),
    ({"static_expires": False}, "static_expires is False, which is not a text."),
    ({"locations": [{"path": "/uploads/"}]}, "locations holds an entry without php."),
    ({"locations": [{"php": False}]}, "locations holds an entry without path."),
    ({"locations": ["/uploads/"]}, "locations holds '/uploads/', which is not a mapping."),
    ({"locations": [{"path": "uploads", "php": False}]}, "locations: path is 'uploads', which is not an address that begins with /."),
    ({"locations": [{"path": "/uploads/", "php": "no"}]}, "locations: php is 'no', which is not true or false."),
    ({"locations": [{"path": "/uploads/", "php": False, "rot": "/srv"}]}, "locations has the unknown key rot. Did you mean root?"),
    ({"php": {"readable": None}}, "php: readable has no value."),
    ({"php": {"readable": "/srv"}}, "php: readable is '/srv', which is not a list."),
    ({"php": {"max_children": "16"}}, "php: max_children is '16', which is not a whole number."),
    ({"php": {"max_childs": 16}}, "php has the unknown key max_childs. Did you mean max_children?"),
    (
        {"database": {"name": "blog", "user": "blog", "password": "CHANGE-ME-blog"}},
        "the database password of site blog is still the example, or easy to guess",
    ),
]


@pytest.mark.parametrize(("change", "expected"), SITES, ids=lambda value: str(value)[:40])
def test_a_site_that_cannot_be_served(change: dict[str, Any], expected: str) -> None:
    nodes = good()
    for variables in nodes.values():
        variables["tandem_sites"][0].update(change)
    found = faults(nodes)
    assert sum(expected in fault for fault in found) == 1, found


def test_values_with_quotes_and_the_like_are_no_fault_in_php() -> None:
    nodes = good()
    for variables in nodes.values():
        variables["tandem_sites"][0].update(
            {
                "params": {"A": "it's; {x}", "B": 5},
                "php": {"environment": {"A": 'a"b\\c$5', "B": 5}, "settings": {"error_reporting": "E_ALL & ~E_NOTICE", "x.y": 'a;"b"', "z": True}},
            }
        )
    assert faults(nodes) == []


@pytest.mark.parametrize(
    ("files", "balance", "sync", "refused"),
    [
        ("rsync", "session", True, True),
        ("rsync", "ip_hash", True, True),
        ("rsync", "round_robin", True, False),
        ("rsync", "session", False, False),
        ("unison", "session", True, False),
    ],
)
def test_a_push_from_one_node_and_uploads_on_either(files: str, balance: str, sync: bool, refused: bool) -> None:
    nodes = good()
    for variables in nodes.values():
        variables["tandem_files"] = files
        variables["tandem_sites"][0].update({"balance": balance, **({} if sync else {"sync": []})})
    assert [fault for fault in faults(nodes) if "uploads on the node that is not active would be deleted" in fault] == faults(nodes)
    assert len(faults(nodes)) == refused


@pytest.mark.parametrize(("engine", "length", "refused"), [("mysql", 32, False), ("mysql", 33, True), ("mariadb", 33, False)])
def test_a_password_that_mysql_does_not_take_from_a_replica(engine: str, length: int, refused: bool) -> None:
    nodes = good()
    for variables in nodes.values():
        variables["tandem_database_engine"] = engine
        variables["tandem_secret_replication"] = ("aB3dE5gH7jK9mN1p" * 3)[:length]
    assert [fault for fault in faults(nodes) if "has 33 characters; MySQL takes no password of a source of more than 32" in fault] == faults(nodes)
    assert len(faults(nodes)) == refused


@pytest.mark.parametrize("secret", ["aB3d 'E5\"gH7 j#K;9=m%N", "=aB3dE5gH7jK9mN1p", "\\aB3dE5gH7jK9mN1p\\"])
def test_any_other_character_is_fine_in_a_secret(secret: str) -> None:
    nodes = good()
    for variables in nodes.values():
        variables["tandem_secret_monitor"] = secret
    assert faults(nodes) == []


def test_a_sites_password_may_hold_any_letter() -> None:
    nodes = good()
    for variables in nodes.values():
        variables["tandem_sites"][0]["database"]["password"] = "'pa\u00dfwort mit \u20ac\""
    assert faults(nodes) == []


@pytest.mark.parametrize(
    "change", [{"params": ["KEY=s3cr3t"]}, {"php": ["s3cr3t"]}, {"php": {"environment": ["KEY=s3cr3t"]}}, {"php": {"settings": "s3cr3t"}}], ids=str
)
def test_what_is_no_mapping_is_said_once_and_its_values_are_not(change: dict[str, Any]) -> None:
    nodes = good()
    for variables in nodes.values():
        variables["tandem_sites"][0].update(change)
    (found,) = faults(nodes)
    assert "is not a mapping. Write one key" in found
    assert "s3cr3t" not in found


def test_two_sites_share_nothing() -> None:
    nodes = good()
    for variables in nodes.values():
        variables["tandem_sites"].append(copy.deepcopy(SITE))
    found = faults(nodes)
    for shared in ("name blog", "php_port 9000", "user site-blog", "database blog", "server name blog.ex"):
        assert any(f"the {shared}" in fault and "is used by blog and blog" in fault for fault in found), shared


ROOTS = [
    ({"root": "/srv/www/shop"}, {"root": "/srv/www/news"}, 0),
    ({"root": "/srv/www/shop"}, {"root": "/srv/www/shopping"}, 0),
    ({"root": "/srv/www/shop"}, {"root": "/srv/www/news", "sync": ["/srv/files/news"]}, 0),
    ({"root": "/srv/www", "sync": ["/srv/www/uploads"]}, {"root": "/srv/shop", "sync": ["/srv/shop/uploads"]}, 0),
    ({"root": "/srv/www"}, {"root": "/srv/www/shop"}, 1),
    ({"root": "/srv/www/shop"}, {"root": "/srv/www"}, 1),
    ({"root": "/srv/www/shop"}, {"root": "/srv/www/shop"}, 1),
    ({"root": "/srv/www/shop"}, {"root": "/srv/www/news", "sync": ["/srv/www/shop/news"]}, 1),
    ({"root": "/srv/www/shop", "sync": ["/srv/www"]}, {"root": "/srv/news/news"}, 0),
    ({"root": "/srv/shop/shop", "sync": ["/srv/www"]}, {"root": "/srv/www/news"}, 1),
]


@pytest.mark.parametrize(("one", "two", "count"), ROOTS, ids=str)
def test_no_site_lies_in_another_one(one: dict[str, Any], two: dict[str, Any], count: int) -> None:
    nodes = good()
    keys: dict[str, Any] = {"application": "none", "sync": []}
    without = {key: value for key, value in SITE.items() if key != "database"}
    for variables in nodes.values():
        variables["tandem_sites"] = [
            {**without, **keys, "name": name, "server_names": [f"{name}.example.com"], "user": f"site-{name}", "php_port": port, **change}
            for name, port, change in (("shop", 9001, one), ("news", 9002, two))
        ]
    found = faults(nodes)
    assert len(found) == count, found
    assert all("site shop" in fault and "site news" in fault and "lie in one another" in fault for fault in found)


@pytest.mark.parametrize(("given", "said"), [(2222, ""), ("2222", "without quotes"), (0, "1 to 65535"), (65536, "1 to 65535"), ("ssh", "not a whole number")])
def test_the_port_of_sshd_is_a_port(given: Any, said: str) -> None:
    nodes = good()
    for variables in nodes.values():
        variables["tandem_ssh_port"] = given
    found = [fault for fault in faults(nodes) if "tandem_ssh_port is" in fault]
    assert len(found) == bool(said) and all(said in fault for fault in found)


def test_administrators_may_come_over_either_family() -> None:
    nodes = good()
    for variables in nodes.values():
        variables["tandem_management_networks"] = ["203.0.113.0/24", "2001:db8::/32"]
    assert faults(nodes) == []


def test_values_that_have_to_be_equal_are_shown_when_they_differ() -> None:
    nodes = good()
    nodes["node-b"]["tandem_outside_vip"] = "192.0.2.101"
    assert faults(nodes) == [
        "both nodes: tandem_outside_vip differs between node-a and node-b: 192.0.2.100 and 192.0.2.101. "
        "Set it once, in group_vars."
    ]


def test_interfaces_may_have_different_names() -> None:
    nodes = good()
    nodes["node-b"]["tandem_outside_interface"] = "ens18"
    assert faults(nodes) == []


def test_no_secret_is_ever_shown() -> None:
    nodes = good()
    nodes["node-b"]["tandem_secret_monitor"] = "tR7uY5iO3pL1kJ9h"
    nodes["node-a"]["tandem_secret_operator"] = nodes["node-b"]["tandem_secret_operator"] = "hJ5lN7pR9tV1xZ3b"
    text = "\n".join(faults(nodes))
    assert "tandem_secret_monitor differs" in text
    assert "the same secret" in text
    assert "tR7uY5iO3pL1kJ9h" not in text
    assert "hJ5lN7pR9tV1xZ3b" not in text


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_pair_is_exactly_two(count: int) -> None:
    every = good()
    every["node-c"] = {
        **every["node-b"],
        "tandem_priority": 199,
        "tandem_outside_address": "192.0.2.13",
        "tandem_inside_address": "198.51.100.13",
    }
    nodes = dict(list(every.items())[:count])
    assert any(f"it has {count} host" in fault and "exactly two" in fault for fault in faults(nodes))


def test_a_variable_that_cannot_be_evaluated_hides_no_other_fault() -> None:
    nodes = good()
    for variables in nodes.values():
        del variables["tandem_outside_vip"]
        variables["tandem_priority"] = 7
    reasons = {node: {"tandem_outside_vip": "'office_net' is undefined"} for node in nodes}
    found = faults(nodes, unreadable=reasons)
    assert any("tandem_outside_vip cannot be evaluated: 'office_net' is undefined." in fault for fault in found)
    assert any("tandem_priority is 7 on both" in fault for fault in found)
    assert not any("is not set" in fault for fault in found)


def test_names_lead_to_two_different_machines() -> None:
    book = {"a.example.com": ["203.0.113.11"], "b.example.com": ["203.0.113.11"]}

    def resolve(name: str) -> list[str]:
        return book.get(name, [])

    found = faults(good(), hosts={"node-a": "a.example.com", "node-b": "b.example.com"}, resolve=resolve)
    assert found == ["node-a and node-b: Ansible would reach both at 203.0.113.11. Correct ansible_host."]
    found = faults(good(), hosts={"node-a": "a.example.com", "node-b": "c.example.com"}, resolve=resolve)
    assert found == ["node-b: the name c.example.com does not resolve. Set ansible_host to its address."]
    found = faults(good(), hosts={"node-a": "203.0.113.11", "node-b": "192.0.2.100"}, resolve=resolve)
    assert found == ["node-b: ansible_host is tandem_outside_vip, which moves. Use an address that stays."]


def test_faults_come_in_the_order_of_the_files_of_the_inventory() -> None:
    nodes = good()
    nodes["node_b"] = nodes.pop("node-b")
    site = {**SITE, "user": "root"}
    for variables in nodes.values():
        variables.update(tandem_web="ngnix", tandem_outside_vip="10.0.0.1", tandem_sites=[site], tandem_failback="when_in_sync")
        variables["tandem_secret_operator"] = "short"
    found = faults(nodes, unreachable={"node-a": "Connection timed out"})
    marks = ["not a host name", "tandem_web", "10.0.0.1", "user root", "tandem_failback", "tandem_failback", "tandem_secret_operator", "cannot be asked"]
    assert [mark in fault for mark, fault in zip(marks, found, strict=True)] == [True] * len(marks), found


def test_a_node_that_cannot_be_asked_is_one_fault() -> None:
    found = faults(good(), unreachable={"node-b": "Connection timed out"})
    assert found == [
        "node-b: it cannot be asked: Connection timed out. Correct ansible_host, ansible_user or the machine's ssh."
    ]


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
SITE_JUNK = st.dictionaries(st.sampled_from([*SITE, "sync_excludes", "php", "params", "other"]), JUNK, max_size=8)


@settings(max_examples=200)
@given(
    st.dictionaries(st.sampled_from(sorted(KNOWN)), JUNK, max_size=8),
    st.lists(SITE_JUNK | JUNK, max_size=3),
)
def test_whatever_a_user_writes_is_judged_and_never_breaks_the_judge(junk: dict[str, Any], sites: list[Any]) -> None:
    nodes = good()
    nodes["node-a"].update({"tandem_sites": sites, **junk})
    nodes["node-b"].update(junk)
    for fault in inventory_faults(nodes):
        assert fault.where and fault.what and fault.remedy
