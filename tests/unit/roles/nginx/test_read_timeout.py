# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx waits for a page as long as php-fpm may work on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize(("php", "line"), [({"request_timeout": 300}, "fastcgi_read_timeout 305s;"), ({"request_timeout": "10"}, "fastcgi_read_timeout 15s;")])
def test_a_site_with_a_limit_of_its_own_is_waited_for_a_bit_longer(php: dict[str, Any], line: str, rendered: Callable[..., str]) -> None:
    assert line in rendered(php=php)


@pytest.mark.parametrize("site", [{}, {"php": {}}, {"php": {"memory_limit": "256M"}}, {"php": {"request_timeout": 0}}, {"php": {"request_timeout": None}}])
def test_another_site_has_what_all_have(site: dict[str, Any], rendered: Callable[..., str]) -> None:
    assert "fastcgi_read_timeout" not in rendered(**site)


def test_what_the_site_says_itself_is_not_said_twice(rendered: Callable[..., str]) -> None:
    assert rendered(php={"request_timeout": 300}, extra_config="fastcgi_read_timeout 400s;").count("fastcgi_read_timeout") == 1


def test_the_playbook_passes_it_on() -> None:
    play = yaml.safe_load((ROOT / "playbooks" / "web.yml").read_text(encoding="utf-8"))[0]
    (serve,) = (task for task in play["tasks"] if task["name"] == "Serve")
    assert "php" in serve["vars"]["__nginx_keys"]
