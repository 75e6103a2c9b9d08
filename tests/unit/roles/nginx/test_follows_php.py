# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Between the reloads of php-fpm and of nginx a pool with another port than before is looked for in vain."""

from __future__ import annotations

from pathlib import Path

import yaml

WEB = Path(__file__).resolve().parents[4] / "playbooks" / "web.yml"


def test_nginx_comes_right_after_php() -> None:
    tasks = yaml.safe_load(WEB.read_text(encoding="utf-8"))[0]["tasks"]
    roles = [task.get("ansible.builtin.import_role", {}).get("name", "").rpartition(".")[2] for task in tasks]
    assert roles[roles.index("php_fpm") + 1] == "nginx"
