# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site writes outside its document root is not for every user of the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLE = Path(__file__).resolve().parents[4] / "roles" / "app"


def entries(application: str, *writable: str) -> dict[str, dict[str, Any]]:
    """The entries for the module files, by their paths."""
    (task,) = DataLoader().load_from_file(str(ROLE / "tasks" / "directories.yml"), trusted_as_template=True)
    known = {
        **task["vars"],
        "app_application": application,
        "app_user": "site-shop",
        "app_root": "/srv/www/shop/public",
        "app_writable": list(writable),
        "__app_system": {"web_group": "www-data"},
    }
    made = Templar(loader=DataLoader(), variables=known).template(task["tandem.lemp.files"]["files"])
    return {entry["path"]: entry for entry in made}


@pytest.mark.parametrize(
    ("application", "path", "group", "mode"),
    [
        ("none", "/srv/www/shop/storage", "www-data", "0750"),
        ("none", "/srv/www/shop/public-too", "www-data", "0750"),
        ("none", "/srv/www/shop/public/uploads", "site-shop", "0755"),
        ("wordpress", "/var/lib/wordpress/wp-content/uploads", "site-shop", "0755"),
    ],
)
def test_who_may_enter_a_new_one(application: str, path: str, group: str, mode: str) -> None:
    entry = entries(application, path)[path]
    assert (entry["owner"], entry["group"], entry["mode"]) == ("site-shop", group, mode)


def test_one_that_is_there_keeps_its_mode() -> None:
    assert entries("none", "/srv/www/shop/storage", "/srv/www/shop/public/uploads")["/srv/www/shop/storage"]["keep_mode"] is True


def test_the_document_root_is_made_for_a_tree_of_your_own_only() -> None:
    assert entries("none")["/srv/www/shop/public"]["mode"] == "0750"
    assert "/srv/www/shop/public" not in entries("wordpress", "/srv/www/shop/storage")
