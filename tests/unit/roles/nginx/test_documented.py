# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who writes a site as the documentation shows it runs nothing that visitors have uploaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import yaml

SITES = Path(__file__).resolve().parents[4] / "docs" / "sites.md"


def test_uploads_behind_a_link_in_the_document_root_are_not_run(rendered: Callable[..., str]) -> None:
    section = SITES.read_text(encoding="utf-8").split("### An application with a `public` directory")[1]
    site = yaml.safe_load(section.split("```yaml")[1].split("```")[0])
    assert not site["sync"][0].startswith(f"{site['root']}/")
    storage = rendered(**site).split("location ^~ /storage/ {")[1].split("\n    }\n")[0]
    assert "return 403;" in storage and "fastcgi_pass" not in storage
