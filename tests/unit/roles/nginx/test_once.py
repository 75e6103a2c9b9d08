# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes something is never done twice: only a request of which a php-fpm has got nothing goes to the other one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

MAIN = Path(__file__).resolve().parents[4] / "roles" / "nginx" / "templates" / "etc" / "nginx" / "nginx.conf.j2"


def test_only_what_is_safe_or_held_back_by_nginx_itself_takes_the_usual_way() -> None:
    text = MAIN.read_text(encoding="utf-8")
    methods = text.split("map $request_method $tandem_once {")[1].split("}", 1)[0]
    assert re.findall(r'(\S+) "";', methods) == ["GET", "HEAD", "OPTIONS", "POST", "PATCH", "LOCK"]
    assert "default /.tandem-once;" in methods
    assert "non_idempotent" not in "".join(line for line in text.splitlines() if "fastcgi_next_upstream " in line)


def location(text: str, name: str) -> str:
    """Of the first level of a server."""
    return text.split(f"\n    location {name} {{\n")[1].split("\n    }\n", 1)[0]


@pytest.mark.parametrize("balance", ["round_robin", "least_conn", "ip_hash", "session", "local"])
def test_the_rest_is_sent_to_one_only(balance: str, rendered: Callable[..., str]) -> None:
    text = rendered(balance=balance, nginx_local_php_address="192.0.2.11")
    php = location(text, r"~ \.php$")
    (passed,) = re.findall(r"fastcgi_pass \S+;", php)
    assert "try_files $tandem_once$uri @once;" in php
    once = location(text, "@once")
    assert "fastcgi_next_upstream off;" in once and passed in once
    for name, status in (("@refused", 502), ("@unanswered", 504)):
        other = location(text, name)
        assert f"error_page {status} = {name};" in once
        assert f'if ($tandem_refused = "") {{\n            return {status};' in other and passed in other
        assert "fastcgi_next_upstream_timeout 1s;" in other


def test_a_place_with_a_root_of_its_own_has_ways_of_its_own(rendered: Callable[..., str]) -> None:
    places = [{"path": "/uploads/", "php": False, "root": "/srv/files"}, {"path": "/wp-content/", "php": True, "root": "/var/lib/wordpress"}]
    text = rendered(locations=places, nginx_peer_address="192.0.2.12", nginx_inside_address="192.0.2.11")
    assert "try_files $tandem_once$uri @once2;" in location(text, "^~ /wp-content/")
    assert "root /var/lib/wordpress;" in location(text, "@once2") and "error_page 502 = @refused2;" in location(text, "@once2")
    assert all("root /var/lib/wordpress;" in location(text, name) for name in ("@refused2", "@unanswered2"))
    named = re.findall(r"@(?:once|refused|unanswered)\d*", text)
    assert set(named) == {f"@{name}{number}" for name in ("once", "refused", "unanswered") for number in ("", "2")}
    assert "@once" not in text.split("# For the other node's nginx")[1]


def test_only_requests_to_php_are_looked_at(rendered: Callable[..., str]) -> None:
    """At the server it would catch those of a proxy_pass in extra_config, and end those of conf.d."""
    assert "\n    error_page" not in rendered()


def test_the_sites_own_page_for_the_error_comes_last(rendered: Callable[..., str]) -> None:
    assert "recursive_error_pages on;" in location(rendered(extra_config="error_page 502 /down.html;"), "@once")
