"""Every drill begins and ends with a whole pair."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import agents
import pair
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from standstill import repeating

# Adverts come four times a second: a pair that stood still for longer gives its addresses away.
pytest_runtest_protocol = repeating(1.0)

# Of the other engine.
collect_ignore = [f"test_gtid_{engine}.py" for engine in ("mariadb", "mysql") if engine != pair.ENGINE]
# A pair that looks after itself is another pair.
if pair.FAILOVER == "automatic":
    collect_ignore_glob = ["test_[!a]*.py", "test_atlas.py"]
else:
    collect_ignore += ["test_agent.py", "test_agent_atlas.py", "test_agent_policies.py"]
if pair.FAILOVER != "automatic" or pair.WITNESS not in ("ssh", "dns"):
    collect_ignore.append("test_agent_witness.py")

# And so is one with Atlas, which these drills take apart.
if not os.environ.get("ATLAS_TREE"):
    collect_ignore += ["test_atlas.py", "test_agent_atlas.py"]

_WHOLE = {"now": False}


@pytest.fixture(autouse=True)
def whole(request: pytest.FixtureRequest) -> Iterator[None]:
    if not _WHOLE["now"]:
        pair.wait_until_whole(thorough=True)
    _WHOLE["now"] = False
    yield
    # Of a pair that looks after itself the status knows more than a glance tells.
    pair.wait_until_whole(thorough=pair.FAILOVER == "automatic" or request.session.items[-1] is request.node)
    _WHOLE["now"] = True


@pytest.fixture(autouse=True)
def acknowledged(whole: None) -> None:
    """A failover that nobody has seen keeps the next one from being automatic for ten minutes."""
    if pair.FAILOVER == "automatic":
        for node in pair.PAIR:
            pair.must(agents.tandem(node, "ack"))
