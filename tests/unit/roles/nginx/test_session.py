# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A visitor whose PHP session is a file of one node stays with that node from the first request on."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

MAIN = Path(__file__).resolve().parents[4] / "roles" / "nginx" / "templates" / "etc" / "nginx" / "nginx.conf.j2"


def test_the_cookie_that_is_being_set_chooses_as_the_one_that_comes_back(rendered: Callable[..., str]) -> None:
    """The id of PHP's session is not known at the first request, and is another one after a login."""
    text = rendered(balance="session")
    assert "hash $uid_got$uid_set consistent;" in text
    assert "userid on;" in text
    assert "userid_name tandem;" in text
    assert "PHPSESSID" not in text + MAIN.read_text(encoding="utf-8")


def test_a_file_that_a_cache_may_keep_sets_no_cookie(rendered: Callable[..., str]) -> None:
    text = rendered(balance="session", locations=[{"path": "/uploads/", "php": False}], nginx_peer_address="192.0.2.12", nginx_inside_address="192.0.2.11")
    outside, inside = text.split("# For the other node's nginx")
    files = re.findall(r"expires 7d;(?:\n\s+userid off;)?", outside)
    assert len(files) == 2
    assert all("userid off" in each for each in files)
    assert "userid" not in inside


@pytest.mark.parametrize(
    ("tls", "redirect", "secure"), [("none", False, False), ("pair", False, False), ("none", True, False), ("pair", True, True)]
)
def test_the_cookie_is_for_https_only_where_nothing_else_is_served(tls: str, redirect: bool, secure: bool, rendered: Callable[..., str]) -> None:
    text = rendered(balance="session", nginx_tls=tls, nginx_tls_redirect=redirect)
    assert f"userid_flags httponly{' samesite=none secure' if secure else ''};" in text


@pytest.mark.parametrize("balance", ["round_robin", "least_conn", "ip_hash", "local", ""])
def test_other_sites_set_no_cookie(balance: str, rendered: Callable[..., str]) -> None:
    assert "userid" not in rendered(balance=balance)


def test_both_nodes_name_the_servers_in_one_order(rendered: Callable[..., str]) -> None:
    def servers(own: str) -> list[str]:
        text = rendered(balance="session", nginx_php_addresses=["192.0.2.12", "192.0.2.11"], nginx_local_php_address=own)
        return re.findall(r"server (192\S+)", text)

    assert servers("192.0.2.11") == servers("192.0.2.12") == ["192.0.2.11:9001", "192.0.2.12:9001"]
