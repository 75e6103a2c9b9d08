# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each gate of a switchover says no when it has to, and only that one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.decide import Node
from ansible_collections.tandem.lemp.plugins.module_utils.errors import Refused
from ansible_collections.tandem.lemp.plugins.module_utils.gates import Limits, Seen, is_ddl, of_switchover, require
from ansible_collections.tandem.lemp.plugins.module_utils.state import RUNNING, Replication, ServerState, Session

UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
OTHER = "4e11fa47-71ca-11e1-9e33-c80aa9429562"
FOLLOWS = Replication("192.0.2.11", source_uuid=UUID, io_running=True, io_connected=True, sql_running=True, lag_seconds=0)
OLD = ServerState(
    RUNNING, engine="mysql", version="9.7.4", hostname="node-a", server_id=11, server_uuid=UUID, log_bin=True, read_only=False,
    gtid=f"{UUID}:1-100", semi_sync_active=True,
)  # fmt: skip
NEW = ServerState(
    RUNNING, engine="mysql", version="9.7.4", hostname="node-b", server_id=12, server_uuid=OTHER, log_bin=True, read_only=True,
    super_read_only=True, gtid=f"{UUID}:1-100", replication=FOLLOWS,
)  # fmt: skip
PROXY = {"servers": {"node-a": "UP", "node-b": "DOWN", "node-a-read": "no check"}, "reason": ""}


def seen(old: ServerState = OLD, new: ServerState = NEW, **more: Any) -> Seen:
    more.setdefault("new_disk_free", 2**32)
    more.setdefault("proxies", {"node-a": PROXY, "node-b": PROXY})
    return Seen(Node("node-a", "192.0.2.11", old), Node("node-b", "192.0.2.12", new), **more)


def closed(what: Seen, limits: Limits | None = None) -> list[str]:
    return [gate.name for gate in of_switchover(what, limits or Limits()) if not gate.passed]


def session(**more: Any) -> Session:
    return Session(7, "blog", **{"idle": False, "seconds": 1, "in_transaction": True, **more})


def test_a_whole_pair_passes() -> None:
    assert closed(seen()) == []


@pytest.mark.parametrize(
    ("what", "names"),
    [
        (seen(new=ServerState(reason="no answer")), ["both-answer"]),
        (seen(old=replace(OLD, read_only=True)), ["old-is-primary"]),
        (seen(new=replace(NEW, read_only=False)), ["new-is-closed"]),
        (seen(new=replace(NEW, replication=replace(FOLLOWS, sql_running=False))), ["replicates"]),
        (seen(new=replace(NEW, replication=replace(FOLLOWS, io_connected=False, lag_seconds=None))), ["replicates", "lag"]),
        (seen(new=replace(NEW, replication=replace(FOLLOWS, source_uuid="", source_host="192.0.2.99"))), ["replicates"]),
        (seen(new=replace(NEW, replication=replace(FOLLOWS, lag_seconds=11))), ["lag"]),
        (seen(old=replace(OLD, gtid=f"{UUID}:1-20000")), ["lag"]),
        (seen(new=replace(NEW, gtid=f"{UUID}:1-100,{OTHER}:1")), ["no-errant"]),
        (seen(new=replace(NEW, version="9.6.0")), ["version"]),
        (seen(new=replace(NEW, log_bin=False)), ["binary-log"]),
        (seen(new_disk_free=2**20), ["disk"]),
        (seen(new_disk_free=None), ["disk"]),
        (seen(sessions=(session(transaction_seconds=6.0),)), ["no-long-transaction"]),
        (seen(sessions=(session(statement="alter table t add c int"),)), ["no-ddl"]),
        (seen(new_sessions=(session(statement="/* x */ OPTIMIZE TABLE t"),)), ["no-ddl"]),
        (seen(proxies={"node-a": PROXY, "node-b": {"servers": {}, "reason": "no answer"}}), ["proxy-node-b"]),
        (seen(proxies={"node-a": PROXY, "node-b": {**PROXY, "servers": {"node-a": "UP", "node-b": "UP"}}}), ["proxy-node-b"]),
        (seen(logins={"node-a": ["replication on node-b: Access denied"], "node-b": []}), ["accounts-node-a"]),
        (seen(left_out={"node-a": [], "node-b": ["replicate_ignore_table = blog.cache"]}), ["filters-node-b"]),
        (seen(left_out={"node-a": ["binlog_do_db = blog"], "node-b": ["it stays 60 s behind"]}), ["filters-node-a", "filters-node-b"]),
    ],
)
def test_one_thing_wrong_closes_its_gate(what: Seen, names: list[str]) -> None:
    assert closed(what) == names


def test_a_replica_that_is_a_moment_ahead_of_its_source_has_no_errant_transactions() -> None:
    """After-sync: the source counts a commit as executed only when the replica has confirmed it."""
    assert closed(seen(new=replace(NEW, gtid=f"{UUID}:1-117"))) == []


def test_semi_sync_is_asked_for_only_when_required() -> None:
    alone = seen(old=replace(OLD, semi_sync_active=False))
    assert closed(alone) == []
    assert closed(alone, Limits(require_semi_sync=True)) == ["semi-sync"]


def test_a_refusal_says_value_bound_and_remedy() -> None:
    with pytest.raises(Refused, match=r"version: found mysql 9\.6\.0 after mysql 9\.7\.4; needed: the same engine, not older\. Upgrade node-b first"):
        require(of_switchover(seen(new=replace(NEW, version="9.6.0")), Limits()), "switchover")


@pytest.mark.parametrize(
    ("statement", "expected"),
    [("ALTER TABLE t", True), ("  create table t", True), ("create temporary table t", False), ("SELECT 'drop table'", False), ("", False)],
)
def test_ddl_is_recognised(statement: str, expected: bool) -> None:
    assert is_ddl(statement) is expected


@pytest.mark.parametrize(("read_only", "said"), [(False, "Two servers take writes. Close node-b"), (True, "node-b has the role already.")])
def test_two_servers_take_writes_only_where_both_do(read_only: bool, said: str) -> None:
    what = seen(old=replace(OLD, read_only=read_only), new=replace(NEW, read_only=False))
    (gate,) = [gate for gate in of_switchover(what, Limits()) if gate.name == "new-is-closed"]
    assert gate.remedy.startswith(said)


def test_a_replica_from_which_was_left_out_is_copied_anew_by_a_command() -> None:
    what = seen(left_out={"node-b": ["replicate_ignore_table = blog.cache"]})
    (gate,) = [gate for gate in of_switchover(what, Limits()) if gate.name == "filters-node-b"]
    assert "STOP REPLICA there" in gate.remedy and "playbooks/database.yml -e tandem_database_seed=always" in gate.remedy
