# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site's user may do with its own data is not refused because there is a binary log."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TEMPLATES = Path(__file__).resolve().parents[4] / "roles" / "database" / "templates" / "etc" / "mysql"


@pytest.mark.parametrize("engine", ["mariadb", "mysql"])
def test_triggers_and_functions_may_be_made_as_rows_are_replicated(engine: str) -> None:
    text = (TEMPLATES / f"{engine}.conf.d" / "zz-tandem.cnf.j2").read_text(encoding="utf-8")
    settings = dict(re.findall(r"(?m)^(?:loose_)?([a-z_]+) = (.+)$", text))
    assert settings["log_bin_trust_function_creators"] == "ON"
    assert settings.get("binlog_format", "ROW") == "ROW"  # MySQL has nothing else by default
