"""Our sets of transactions against those of the servers themselves."""

from __future__ import annotations

import random
import sys

import pair
import pytest
from pair import other, primary, sql

sys.path.insert(0, str(pair.ROOT / ".ansible" / "collections"))

from ansible_collections.tandem.lemp.plugins.module_utils.errors import GtidError
from ansible_collections.tandem.lemp.plugins.module_utils.gtid import GtidSet

UUIDS = ("3e11fa47-71ca-11e1-9e33-c80aa9429562", "4350f323-7565-4e59-8763-4b1b83a0ce0e", "d6331a49-e5b5-11f1-850b-024f0a00000b")
PAIRS = 300


@pytest.mark.skipif(pair.ENGINE != "mysql", reason="MySQL's functions")
def test_mysql_agrees_on_subsets_and_differences() -> None:
    seed = random.SystemRandom().randrange(2**32)
    rng = random.Random(seed)
    pairs = [(some_set(rng), some_set(rng)) for _ in range(PAIRS)]
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


@pytest.mark.skipif(pair.ENGINE != "mysql", reason="MySQL's functions")
def test_mysql_refuses_what_we_refuse() -> None:
    first = UUIDS[0]
    for text in ("x", f"{first}:0", f"{first}:1-", f"{first}:1-2:bad tag", f"{first}:9223372036854775807"):
        with pytest.raises(GtidError):
            GtidSet.parse(text, "mysql")
        done = pair.ssh(primary(), "mysql --batch", f"SELECT GTID_SUBSET('{text}', '')")
        assert done.status != 0 and "1772" in done.text, (text, done.text)


@pytest.mark.skipif(pair.ENGINE != "mariadb", reason="MariaDB's functions")
def test_mariadb_agrees_on_what_a_replica_has_reached() -> None:
    replica = other(primary())
    here = GtidSet.parse(sql(replica, "SELECT @@global.gtid_slave_pos"), "mariadb")
    assert here
    rng = random.Random(11)
    (domain, server, last) = (int(part) for part in here.position().split(",")[0].split("-"))
    for _ in range(40):
        wanted = f"{domain}-{server}-{max(1, last + rng.randint(-5, 5) * rng.choice((1, 1000)))}"
        reached = sql(replica, f"SELECT MASTER_GTID_WAIT('{wanted}', 0)") == "0"
        assert here.reached(GtidSet.parse(wanted, "mariadb")) == reached, wanted
    assert sql(replica, "SELECT MASTER_GTID_WAIT('77-1-1', 0)") == "-1"
    assert not here.reached(GtidSet.parse("77-1-1", "mariadb"))


@pytest.mark.skipif(pair.ENGINE != "mariadb", reason="MariaDB's functions")
def test_mariadb_refuses_what_we_refuse() -> None:
    replica = other(primary())
    for text in ("x", "0-1", "0-1-", "0-1-2-3", "4294967296-1-1", "0-1-18446744073709551616"):
        with pytest.raises(GtidError):
            GtidSet.parse(text, "mariadb")
        done = pair.ssh(replica, "mysql --batch", f"SELECT MASTER_GTID_WAIT('{text}', 0)")
        assert done.status != 0 and "GTID" in done.text, (text, done.text)


def some_set(rng: random.Random) -> str:
    """As a careless person would write it: any order, overlaps, capitals, spaces, tags, huge numbers."""
    items = []
    for _ in range(rng.randint(0, 4)):
        parts = []
        for _ in range(rng.randint(1, 3)):
            if rng.random() < 0.2:
                parts.append(rng.choice(("blue", "Green", "_x1")))
            first = rng.choice((rng.randint(1, 30), rng.randint(1, 2**62)))
            parts.append(str(first) if rng.random() < 0.4 else f"{first}-{first + rng.choice((0, 3, 20, 2**40))}")
        uuid = rng.choice(UUIDS)
        items.append(":".join([uuid.upper() if rng.random() < 0.3 else uuid, *parts]))
    return rng.choice((",", ", ")).join(items)
