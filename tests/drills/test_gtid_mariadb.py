"""Our sets of transactions against what MariaDB makes of them."""

from __future__ import annotations

import random
import sys

import pair
import pytest
from pair import other, primary, sql

sys.path.insert(0, str(pair.ROOT / ".ansible" / "collections"))

from ansible_collections.tandem.lemp.plugins.module_utils.errors import GtidError
from ansible_collections.tandem.lemp.plugins.module_utils.gtid import GtidSet


def test_mariadb_agrees_on_what_a_replica_has_reached() -> None:
    replica = other(primary())
    here = GtidSet.parse(sql(replica, "SELECT @@global.gtid_slave_pos"), "mariadb")
    assert here
    rng = random.Random(11)
    (domain, server, last) = (int(part) for part in here.position().split(",", maxsplit=1)[0].split("-"))
    for _turn in range(40):
        wanted = f"{domain}-{server}-{max(1, last + rng.randint(-5, 5) * rng.choice((1, 1000)))}"
        reached = sql(replica, f"SELECT MASTER_GTID_WAIT('{wanted}', 0)") == "0"
        assert here.reached(GtidSet.parse(wanted, "mariadb")) == reached, wanted
    assert sql(replica, "SELECT MASTER_GTID_WAIT('77-1-1', 0)") == "-1"
    assert not here.reached(GtidSet.parse("77-1-1", "mariadb"))


def test_mariadb_refuses_what_we_refuse() -> None:
    replica = other(primary())
    for text in ("x", "0-1", "0-1-", "0-1-2-3", "4294967296-1-1", "0-1-18446744073709551616"):
        with pytest.raises(GtidError):
            GtidSet.parse(text, "mariadb")
        done = pair.ssh(replica, "mysql --batch", f"SELECT MASTER_GTID_WAIT('{text}', 0)")
        assert done.status != 0 and "GTID" in done.text, (text, done.text)
