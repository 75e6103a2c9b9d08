# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hand that is kept ready while its node is configured anew is not used any more."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ansible_collections.tandem.lemp.plugins.module_utils.hand.actions import Actions
from ansible_collections.tandem.lemp.plugins.module_utils.hand.config import PROTOCOL, Watch
from ansible_collections.tandem.lemp.plugins.module_utils.hand.serve import Hand

HELLO = json.dumps({"do": "hello"})


def replaced(settings: Path) -> None:
    """As the role does it: another file of the same name."""
    new = settings.with_suffix(".new")
    new.write_text('{"atlas_service": "atlas-main"}')
    os.replace(new, settings)


def asked(tmp_path: Path, *before: str) -> list[dict[str, Any]]:
    """Answers to what is said before the settings change, and to a greeting after it."""
    settings = tmp_path / "operations.json"
    settings.write_text("{}")
    watch = Watch(settings)
    config = SimpleNamespace(node=SimpleNamespace(name="node-a"))
    runner = SimpleNamespace(run=lambda _argv, **_more: None)

    def requests() -> Iterator[str]:
        yield from before
        replaced(settings)
        yield HELLO

    said: list[str] = []
    hand = Hand(Actions(config, runner), lambda _text: None, tmp_path / "journal", tmp_path / "lock", watch.changed)  # type: ignore[arg-type]
    hand.serve(requests(), said.append)
    return [json.loads(one) for one in said]


def test_it_says_so_when_it_is_greeted(tmp_path: Path) -> None:
    """The agent greets the one that it has ready before each use, and takes a new one after a refusal."""
    first, second = asked(tmp_path, HELLO)
    assert first["ok"] and first["value"]["protocol"] == PROTOCOL
    assert (second["ok"], second["kind"]) == (False, "Refused")
    assert "newer than this hand" in second["message"]


def test_settings_that_are_gone_are_others(tmp_path: Path) -> None:
    settings = tmp_path / "operations.json"
    watch = Watch(settings)
    assert not watch.changed()
    settings.write_text("{}")
    assert watch.changed()
