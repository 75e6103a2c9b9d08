# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a tired person reads leads somewhere, and leaves nothing out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent.alarms import ALARMS
from ansible_collections.tandem.lemp.plugins.module_utils.preflight.sites import SITE_KEYS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for pattern in ("README.md", "docs/**/*.md", "roles/*/README.md", "inventories/*/README.md", "bench/README.md")
    for path in ROOT.glob(pattern)
)
RUNBOOKS = sorted((ROOT / "docs" / "runbooks").glob("*.md"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """Return what its headings are called in a link."""
    titles = re.findall(r"(?m)^#+ (.+)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^a-z0-9 _-]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        file, _hash, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if "://" not in link and (not target.exists() or (anchor and anchor not in anchors(target))):
            wrong.append(link)
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_playbook_that_is_named_exists(page: Path) -> None:
    named = set(re.findall(r"\bplaybooks/([a-z_]+\.yml)", page.read_text(encoding="utf-8")))
    assert sorted(file for file in named if not (ROOT / "playbooks" / file).exists()) == []


@pytest.mark.parametrize("page", RUNBOOKS, ids=name)
def test_a_runbook_never_means_the_lab_by_accident(page: Path) -> None:
    commands = re.findall(r"(?m)^\s*(ansible-playbook .+)$", page.read_text(encoding="utf-8"))
    assert [command for command in commands if " -i " not in command] == []


def test_every_alarm_has_a_remedy() -> None:
    text = (ROOT / "docs" / "trouble.md").read_text(encoding="utf-8")
    assert [alarm for alarm in ALARMS if f"| {alarm.replace('_', ' ')} |" not in text] == []


def test_every_key_of_a_site_is_described() -> None:
    text = (ROOT / "docs" / "sites.md").read_text(encoding="utf-8").partition("## Keys of a site")[2]
    assert [key for key in SITE_KEYS if f"`{key}`" not in text] == []
