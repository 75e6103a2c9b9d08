# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said before a pair gets an Atlas that cannot work."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.tandem.lemp.plugins.module_utils.preflight.atlas import check_machine
from ansible_collections.tandem.lemp.plugins.module_utils.preflight.judge import inventory_faults

from .test_inventory_faults import JUNK, SITE, faults, good

ATLAS = {"tandem_sql_proxy": "atlas", "tandem_secret_atlas": "pW4yB6dF8hK0mQ2s", "tandem_atlas_tree": "/srv/atlas"}
CHECKSUM = "sha256:" + "0a1b" * 16
URL = "https://packages.example.com/atlas.deb"


def with_atlas(**more: Any) -> dict[str, dict[str, Any]]:
    nodes = good()
    for variables in nodes.values():
        variables.update(copy.deepcopy({**ATLAS, **more}))
    return nodes


def test_a_tree_or_a_package_is_enough() -> None:
    assert faults(with_atlas()) == []
    assert faults(with_atlas(tandem_atlas_tree="", tandem_atlas_package=URL, tandem_atlas_checksum=CHECKSUM)) == []


def test_places_of_its_own_are_taken() -> None:
    assert faults(with_atlas(atlas_prefix="/opt/atlas/", atlas_log_dir="/srv/logs/")) == []
    assert faults(with_atlas(atlas_prefix="/root/atlas", tandem_atlas_tree_on_node=True)) == []


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"atlas_prefix": "/root/atlas"}, "atlas_prefix is /root/atlas on the nodes, and Atlas' unit does not see /root."),
        ({"atlas_log_dir": "/var/tmp/../tmp/logs"}, "and Atlas' unit does not see /var/tmp."),
        ({"atlas_log_dir": "/var/log/"}, "atlas_log_dir is '/var/log/', which is no directory of its own."),
        ({"atlas_log_dir": "logs"}, "atlas_log_dir is 'logs', which is no directory of its own."),
        ({"atlas_log_dir": None}, "atlas_log_dir is None, which is no directory of its own."),
        ({"atlas_proxy_address": "0.0.0.0"}, "atlas_proxy_address is 0.0.0.0. It is fixed at 127.0.0.1"),
    ],
    ids=str,
)
def test_its_role_would_refuse_them_later(more: dict[str, Any], expected: str) -> None:
    (told,) = faults(with_atlas(**more))
    assert expected in told


def test_nothing_is_asked_of_a_pair_without_it() -> None:
    assert faults(with_atlas(tandem_sql_proxy="haproxy", tandem_atlas_tree="", tandem_secret_atlas="", tandem_database_engine="mysql")) == []


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"tandem_database_engine": "mysql"}, "tandem_database_engine is mysql: Atlas cannot log in by caching_sha2_password."),
        ({"tandem_atlas_tree": ""}, "there is neither tandem_atlas_package nor tandem_atlas_tree."),
        ({"tandem_atlas_package": "/srv/atlas.deb"}, "are both set."),
        ({"tandem_atlas_tree": "", "tandem_atlas_package": URL}, "tandem_atlas_checksum is not set."),
        ({"tandem_atlas_tree": "", "tandem_atlas_package": URL, "tandem_atlas_checksum": "0a1b"}, "Write it as sha256:HEX"),
        ({"tandem_atlas_tree": "", "tandem_atlas_package": URL, "tandem_atlas_checksum": "sha256:0a1b"}, "Write it as sha256:HEX"),
        ({"tandem_atlas_tree": "", "tandem_atlas_package": "/srv/atlas.zip"}, "ends neither with .deb nor with .rpm"),
        ({"tandem_atlas_tree": "/home/anna/atlas", "tandem_atlas_tree_on_node": True}, "does not see /home."),
        ({"tandem_atlas_tree": "/srv/../var/tmp/atlas/", "tandem_atlas_tree_on_node": True}, "does not see /var/tmp."),
        ({"atlas_admin_port": 345}, "atlas_admin_port is 345, and Atlas is not root."),
        ({"tandem_secret_atlas": ""}, "tandem_secret_atlas is not set."),
        ({"tandem_secret_atlas": "pW4yB6dF 8hK0mQ2s"}, "tandem_secret_atlas holds a blank"),
        ({"tandem_secret_atlas": "pW4yB6dF\\8hK0mQ2s"}, "tandem_secret_atlas holds a blank"),
        ({"tandem_sites": [{key: value for key, value in SITE.items() if key not in ("database", "application")}]}, "no site has a database."),
        (
            {"tandem_sites": [{**SITE, "database": {"name": "blog", "user": "blog", "password": "vz6Yd0qTjw2mXk4L" * 3}}]},
            "the database password of site blog has more than 47 bytes",
        ),
    ],
    ids=str,
)
def test_what_cannot_work_is_one_clear_fault(more: dict[str, Any], expected: str) -> None:
    found = faults(with_atlas(**more))
    assert len(found) == 1 and expected in found[0], found


def test_what_is_seen_by_its_unit_is_fine() -> None:
    assert faults(with_atlas(tandem_atlas_tree="/homes/atlas", tandem_atlas_tree_on_node=True)) == []
    assert faults(with_atlas(tandem_atlas_tree="/home/anna/atlas")) == []


@pytest.mark.parametrize(
    ("more", "looked_for"),
    [
        ({}, "/srv/atlas/bin/mysql-proxy"),
        ({"tandem_atlas_tree": "/srv/atlas/"}, "/srv/atlas/bin/mysql-proxy"),
        ({"tandem_atlas_tree_on_node": True}, ""),
        ({"tandem_atlas_tree": "", "tandem_atlas_package": "/srv/atlas.deb"}, "/srv/atlas.deb"),
        ({"tandem_atlas_tree": "", "tandem_atlas_package": "files/atlas.deb"}, ""),
        ({"tandem_atlas_tree": "", "tandem_atlas_package": URL, "tandem_atlas_checksum": CHECKSUM}, ""),
        ({"tandem_sql_proxy": "haproxy"}, ""),
    ],
    ids=str,
)
def test_what_is_copied_has_to_be_here(more: dict[str, Any], looked_for: str) -> None:
    """It would be found out when the database and HAProxy have been worked on already."""
    asked: list[str] = []

    def is_file(path: str) -> bool:
        asked.append(path)
        return False

    found = [str(fault) for fault in inventory_faults(with_atlas(**more), is_file=is_file)]
    assert asked == ([looked_for] if looked_for else [])
    assert len(found) == len(asked) and all("on this machine" in fault for fault in found)


def test_debian_takes_no_rpm() -> None:
    variables = with_atlas(tandem_atlas_package="/srv/atlas.rpm")["node-a"]
    assert "Debian takes no rpm" in " ".join(map(str, check_machine("node-a", variables, "debian")))
    assert list(check_machine("node-a", variables, "rocky")) == []
    assert list(check_machine("node-a", {**variables, "tandem_sql_proxy": "haproxy"}, "debian")) == []


def test_two_sites_with_databases_need_another_proxy() -> None:
    shop = {
        "name": "shop", "server_names": ["shop.example.com"], "user": "site-shop", "root": "/srv/www/shop", "php_port": 9001,
        "database": {"name": "shop", "user": "shop", "password": "nR7tV9xZ1bD3fH5j"},
    }  # fmt: skip
    found = faults(with_atlas(tandem_sites=[SITE, shop]))
    assert len(found) == 1 and "blog and shop each have a database. Atlas takes one account" in found[0]


def test_its_ports_are_taken() -> None:
    assert any("php_port 1234 is used by Atlas" in fault for fault in faults(with_atlas(tandem_sites=[{**SITE, "php_port": 1234}])))


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from([*ATLAS, "tandem_atlas_package", "tandem_atlas_checksum", "tandem_sites"]), JUNK, max_size=6))
def test_whatever_a_user_writes_is_judged(junk: dict[str, Any]) -> None:
    for fault in inventory_faults(with_atlas(**{**junk, "tandem_sql_proxy": "atlas"})):
        assert fault.where and fault.what and fault.remedy
