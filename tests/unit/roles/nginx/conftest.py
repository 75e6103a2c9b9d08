# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server of a site, as the role writes it with its defaults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

ROLE = Path(__file__).resolve().parents[4] / "roles" / "nginx"
SITE = {"name": "shop", "server_names": ["shop.example.com"], "root": "/srv/www/shop", "php_port": 9001}


@pytest.fixture
def rendered() -> Callable[..., str]:
    """Called with keys of the site, and with variables of the role that begin with nginx_."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(ROLE / "templates"), trim_blocks=True)
    environment.filters["comment"] = "# {}".format
    known = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8"))
    own = {"ansible_managed": "managed", "nginx_php_addresses": ["192.0.2.11", "192.0.2.12"], "__nginx_ipv6": True, "__nginx_http2_directive": True}

    def render(**keys: Any) -> str:
        of_role = {key: value for key, value in keys.items() if key.startswith("nginx_")}
        item = {**SITE, **{key: value for key, value in keys.items() if key not in of_role}}
        text: str = environment.get_template("etc/nginx/sites-enabled/tandem-site.conf.j2").render({**known, **own, **of_role, "item": item})
        return text

    return render
