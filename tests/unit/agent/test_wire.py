# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes through JSON comes back as it was, and nothing else is believed."""

from __future__ import annotations

import dataclasses
import json
import typing as t

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent.model import Database, Memory, Said, State, Term
from ansible_collections.tandem.lemp.plugins.module_utils.agent.wire import from_memory, from_said, to_memory, to_said

SAID = Said(State.ALONE, Database.OPEN, Term(7, "a", True), 3, True, True, True, True, False, 1.5, 2.5, 3.5, 4.5, "witness none")
MEMORY = Memory(term=Term(7, "a", True), previous=Term(6, "b"), ceded=5, sealed=True, failover_at=1.5)


@pytest.mark.parametrize("said", [SAID, Said()])
def test_said_comes_back(said: Said) -> None:
    assert to_said(json.loads(json.dumps(from_said(said)))) == said
    assert set(from_said(said)) == {field.name for field in dataclasses.fields(Said)}


def test_memory_comes_back() -> None:
    assert to_memory(json.loads(json.dumps(from_memory(MEMORY)))) == MEMORY
    assert len(from_memory(MEMORY)) == len(MEMORY.durable)


@pytest.mark.parametrize("name", sorted(set(from_said(SAID)) - {"common"}))
@pytest.mark.parametrize("value", ["x", [], {}, 1e400])
def test_anything_else_is_refused(name: str, value: t.Any) -> None:
    assert to_said({**from_said(SAID), name: value}) is None


@pytest.mark.parametrize("value", [3, [], {}, None])
def test_no_text_is_no_policy(value: t.Any) -> None:
    assert to_said({**from_said(SAID), "common": value}) is None


@pytest.mark.parametrize("name", sorted(set(from_said(SAID)) - {"acknowledged_at", "paused_at", "common"}))
def test_what_lacks_something_is_refused(name: str) -> None:
    assert to_said({key: value for key, value in from_said(SAID).items() if key != name}) is None


@pytest.mark.parametrize(("name", "value"), [("acknowledged_at", 0.0), ("paused_at", 0.0), ("common", "")])
def test_what_an_older_agent_does_not_say_was_never_said(name: str, value: t.Any) -> None:
    plain = from_said(SAID)
    del plain[name]
    assert to_said(plain) == dataclasses.replace(SAID, **{name: value})


@pytest.mark.parametrize("plain", [None, [], 3, {}, {"term": 1}])
def test_a_broken_file_is_not_an_empty_one(plain: t.Any) -> None:
    assert to_said(plain) is None
    with pytest.raises(ValueError, match=r"."):
        to_memory(plain)
