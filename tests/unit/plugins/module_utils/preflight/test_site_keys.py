# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of a site are those of the roles, and every one has a kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.tandem.lemp.plugins.module_utils.preflight import site_keys, sites

ROLES = Path(__file__).resolve().parents[5] / "roles"


def keys_of(role: str) -> dict[str, Any]:
    spec = yaml.safe_load((ROLES / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    return dict(spec["argument_specs"]["main"]["options"][f"{role}_sites"]["options"])


def test_they_are_those_that_the_roles_take() -> None:
    assert set(site_keys.PHP) == set(keys_of("php_fpm")["php"]["options"])
    assert set(site_keys.LOCATION) == set(keys_of("nginx")["locations"]["options"])
    assert set(site_keys.BALANCES) == set(keys_of("nginx")["balance"]["choices"])


def test_every_optional_key_is_looked_at() -> None:
    elsewhere = {*sites.REQUIRED_KEYS, "application"}
    assert set(sites.SITE_KEYS) - elsewhere == set(site_keys.EMPTY_IS_WRONG)


@pytest.mark.parametrize(
    "site",
    [
        {},
        {"balance": "session", "front_controller": False, "client_max_body_size": 1048576, "static_expires": "7d", "title": 2026},
        {"locations": [{"path": "/a/", "php": True}, {"path": "/b/", "php": False, "root": "/srv/b"}], "params": {}},
        {"locations": [{"path": "/a/", "php": True, "root": ""}]},  # as if they were not there
        {"php": {"request_timeout": 90, "readable": ["/srv"], "settings": {"display_errors": "off"}, "session_path": ""}},
    ],
    ids=str,
)
def test_what_the_roles_take_is_fine(site: dict[str, Any]) -> None:
    assert list(site_keys.wrong(site)) == []
