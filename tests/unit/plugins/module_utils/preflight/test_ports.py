# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens on a machine, and who is in the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.tandem.lemp.plugins.module_utils.machine import atlas_units, listeners
from ansible_collections.tandem.lemp.plugins.module_utils.preflight import ports

# ss -Hltnp of Debian 12, as root.
SEEN = """\
LISTEN 0      4096         127.0.0.1:6446       0.0.0.0:*    users:(("haproxy",pid=700,fd=7),("haproxy",pid=698,fd=7))
LISTEN 0      511            0.0.0.0:80         0.0.0.0:*    users:(("apache2",pid=41,fd=4),("apache2",pid=40,fd=4))
LISTEN 0      4096     127.0.0.53%lo:53         0.0.0.0:*    users:(("systemd-resolve",pid=3,fd=14))
LISTEN 0      128               [::]:22            [::]:*    users:(("sshd",pid=9,fd=4))
LISTEN 0      4096                 *:9090             *:*   \n"""
NODE = {"tandem_inside_address": "198.51.100.11", "tandem_sites": [{"name": "shop", "php_port": 9000}]}


def faults(*found: tuple[str, int, str], **variables: Any) -> list[str]:
    seen = [{"address": address, "port": port, "processes": [process]} for address, port, process in found]
    return [str(fault) for fault in ports.check("node-a", {**NODE, **variables}, seen)]


def test_sockets_are_read_with_the_names_of_their_processes() -> None:
    assert listeners(lambda _command: (0, SEEN, "")) == [
        {"address": "127.0.0.1", "port": 6446, "processes": ["haproxy"]},
        {"address": "0.0.0.0", "port": 80, "processes": ["apache2"]},
        {"address": "127.0.0.53", "port": 53, "processes": ["systemd-resolve"]},
        {"address": "::", "port": 22, "processes": ["sshd"]},
        {"address": "*", "port": 9090, "processes": []},
    ]


def test_without_ss_nobody_is_in_the_way() -> None:
    assert listeners(lambda _command: (127, "", "no such program")) == []


def test_a_stranger_is_named_once_with_what_needs_the_port() -> None:
    found = faults(("0.0.0.0", 80, "apache2"), ("::", 80, "apache2"))
    assert found == [
        "node-a: apache2 listens on port 80, which nginx needs. Stop it for good (systemctl disable --now), or let it listen elsewhere."
    ]


def test_the_pairs_own_services_are_no_strangers() -> None:
    assert faults(("0.0.0.0", 80, "nginx"), ("127.0.0.1", 3306, "mysqld"), ("198.51.100.11", 9000, "php-fpm8.4")) == []


def test_other_addresses_and_unused_ports_do_no_harm() -> None:
    assert faults(("127.0.0.1", 9000, "minio"), ("192.0.2.11", 6446, "other"), ("*", 443, "sshd"), ("*", 8080, "java")) == []
    assert len(faults(("*", 443, "sshd"), tandem_tls="pair")) == 1


def test_a_list_of_sites_that_is_none_breaks_nothing() -> None:
    assert faults(("*", 80, "nginx"), tandem_sites={"shop": 1}) == []
    assert faults(("*", 80, "nginx"), tandem_sites=["shop", {"php_port": "many"}]) == []


def test_an_atlas_that_serves_is_left_by_its_own_playbook() -> None:
    serving = [("127.0.0.1", 1234, "mysql-proxy"), ("127.0.0.1", 2345, "mysql-proxy")]
    assert faults(*serving, tandem_sql_proxy="atlas") == []
    (told,) = faults(*serving, tandem_sql_proxy="haproxy")
    assert "127.0.0.1:1234 and 127.0.0.1:2345" in told and "leave_atlas.yml" in told
    assert faults(("127.0.0.1", 6446, "haproxy"), tandem_sql_proxy="haproxy") == []


def test_one_that_is_dead_is_left_in_the_same_way(tmp_path: Path) -> None:
    """On both nodes: nobody listens, and it would be started again at the next boot."""
    (tmp_path / "atlas-main.service").write_text("[Service]\nExecStart=/usr/local/mysql-proxy/bin/mysql-proxy --defaults-file=main.cnf\n")
    (tmp_path / "atlas-weather.service").write_text("[Service]\nExecStart=/opt/weather\n")
    units = atlas_units(str(tmp_path))
    assert units == ["atlas-main.service"]
    (told,) = map(str, ports.check("node-a", {**NODE, "tandem_sql_proxy": "haproxy"}, [], units))
    assert "is set up here (atlas-main.service)" in told and "leave_atlas.yml" in told
    assert list(ports.check("node-a", {**NODE, "tandem_sql_proxy": "atlas"}, [], units)) == []


def test_a_stranger_at_a_port_of_atlas() -> None:
    strangers = [("127.0.0.1", 1234, "java"), ("198.51.100.11", 2345, "java"), ("127.0.0.1", 6448, "java")]
    assert faults(*strangers, tandem_sql_proxy="haproxy") == []
    assert [fault.partition(",")[0] for fault in faults(*strangers, tandem_sql_proxy="atlas")] == [
        f"node-a: java listens on port {port}" for port in (1234, 2345, 6448)
    ]
    assert faults(("*", 1234, "java"), tandem_sql_proxy="atlas", atlas_proxy_port=11234) == []
