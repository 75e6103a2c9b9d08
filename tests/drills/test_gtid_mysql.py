"""Our sets of transactions against MySQL's own functions."""

from __future__ import annotations

import random
import sys

import pair
import pytest
from pair import primary, sql

sys.path.insert(0, str(pair.ROOT / ".ansible" / "collections"))

from ansible_collections.tandem.lemp.plugins.module_utils.errors import GtidError
from ansible_collections.tandem.lemp.plugins.module_utils.gtid import GtidSet

UUIDS = ("3e11fa47-71ca-11e1-9e33-c80aa9429562", "4350f323-7565-4e59-8763-4b1b83a0ce0e", "d6331a49-e5b5-11f1-850b-024f0a00000b")
PAIRS = 300


def test_mysql_agrees_on_subsets_and_differences() -> None:
    seed = random.SystemRandom().randrange(2**32)
    rng = random.Random(seed)
    pairs = [(some_set(rng), some_set(rng)) for _turn in range(PAIRS)]
    lines = sql(
        primary(),
        ";".join(f"SELECT GTID_SUBSET('{a}', '{b}'), REPLACE(GTID_SUBTRACT('{a}', '{b}'), '\\n', '')" for a, b in pairs),
    ).split("\n")
    assert len(lines) == PAIRS
    for (a, b), line in zip(pairs, lines, strict=True):
        subset, _tab, difference = line.partition("\t")
        ours, theirs = GtidSet.parse(a, "mysql"), GtidSet.parse(b, "mysql")
        where = f"seed {seed}: {a!r} and {b!r}"
        assert (ours <= theirs) == (subset == "1"), where
        assert ours - theirs == GtidSet.parse(difference.replace("\\n", ""), "mysql"), where


def test_mysql_refuses_what_we_refuse() -> None:
    first = UUIDS[0]
    for text in ("x", f"{first}:0", f"{first}:1-", f"{first}:1-2:bad tag", f"{first}:9223372036854775807"):
        with pytest.raises(GtidError):
            GtidSet.parse(text, "mysql")
        done = pair.ssh(primary(), "mysql --batch", f"SELECT GTID_SUBSET('{text}', '')")
        assert done.status != 0 and "1772" in done.text, (text, done.text)


def some_set(rng: random.Random) -> str:
    """As a careless person would write it: any order, overlaps, capitals, spaces, tags, huge numbers."""
    items = []
    for _turn in range(rng.randint(0, 4)):
        parts = []
        for _turn in range(rng.randint(1, 3)):
            if rng.random() < 0.2:
                parts.append(rng.choice(("blue", "Green", "_x1")))
            first = rng.choice((rng.randint(1, 30), rng.randint(1, 2**62)))
            parts.append(str(first) if rng.random() < 0.4 else f"{first}-{first + rng.choice((0, 3, 20, 2**40))}")
        uuid = rng.choice(UUIDS)
        items.append(":".join([uuid.upper() if rng.random() < 0.3 else uuid, *parts]))
    return rng.choice((",", ", ")).join(items)
