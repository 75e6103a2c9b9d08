# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A healthy pair of either engine passes every check; each fault is named by the checks that it concerns, and no others."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.checks.judge import CODES, RULES, judge, merge, worst
from ansible_collections.tandem.lemp.plugins.module_utils.checks.model import Context, Limits, Seen
from ansible_collections.tandem.lemp.plugins.module_utils.checks.table import counts, draw, verdict
from ansible_collections.tandem.lemp.plugins.module_utils.decide import Node
from ansible_collections.tandem.lemp.plugins.module_utils.gtid import MARIADB, MYSQL
from ansible_collections.tandem.lemp.plugins.module_utils.inspection import (
    ANSWERED,
    DENIED,
    SILENT,
    Event,
    Inspection,
    Login,
    Work,
)
from ansible_collections.tandem.lemp.plugins.module_utils.pair import see
from ansible_collections.tandem.lemp.plugins.module_utils.state import RUNNING, UNKNOWN, Replication, ServerState

ROOT = Path(__file__).resolve().parents[5]
NOW = datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC).timestamp()
ONE, TWO = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
SETTINGS = {
    "binlog_expire_logs_seconds": "1209600",
    "binlog_format": "ROW",
    "binlog_row_image": "FULL",
    "character_set_server": "utf8mb4",
    "collation_server": "utf8mb4_unicode_ci",
    "default_storage_engine": "InnoDB",
    "event_scheduler": "OFF",
    "innodb_flush_log_at_trx_commit": "1",
    "innodb_page_size": "16384",
    "lower_case_table_names": "0",
    "max_connections": "200",
    "relay_log_recovery": "ON",
    "sync_binlog": "1",
    "system_time_zone": "UTC",
    "time_zone": "SYSTEM",
}
OF = {
    MARIADB: {"log_slave_updates": "ON", "gtid_strict_mode": "ON", "gtid_domain_id": "0", "slave_run_triggers_for_rbr": "NO"},
    MYSQL: {"log_replica_updates": "ON", "gtid_mode": "ON", "enforce_gtid_consistency": "ON"},
}


def inspection(engine):
    return Inspection(
        access=ANSWERED,
        settings={**SETTINGS, **OF[engine]},
        status={"max_used_connections": "20"},
        filters={},
        engines=("InnoDB", "MyISAM"),
        used_engines=("InnoDB",),
        tables=12,
        without_key=(),
        not_innodb=(),
        bypass={"root@localhost": ("READ ONLY ADMIN",), "tandem_operator@192.0.2.11": ("READ ONLY ADMIN", "CONNECTION ADMIN")},
        transactions=(),
        ddl=(),
        events=(),
        triggers=0,
        clock_offset=0.0,
        round_trip_ms=0.4,
        certificate_ends="Nov 21 00:00:00 2028 GMT",
        disk={"used_percent": 20, "free_mb": 9000, "total_mb": 10000, "device": 1},
        login=Login(True, True),
    )


def servers(engine):
    gtid = "0-11-100" if engine == MARIADB else f"{ONE}:1-100"
    source = ServerState(
        state=RUNNING,
        engine=engine,
        version="10.11.19" if engine == MARIADB else "9.7.4",
        hostname="server1",
        server_id=11,
        server_uuid="" if engine == MARIADB else ONE,
        log_bin=True,
        read_only=False,
        super_read_only=None if engine == MARIADB else False,
        gtid=gtid,
        semi_sync_source=True,
        semi_sync_replica=True,
        semi_sync_active=True,
        schemas=("blog",),
        lineage="one",
    )
    told = Replication(
        "192.0.2.11",
        source_id=11,
        source_uuid=source.server_uuid,
        tls=True,
        tls_verified=True,
        io_running=True,
        io_connected=True,
        sql_running=True,
        lag_seconds=0,
        retrieved=gtid,
    )
    replica = dataclasses.replace(
        source,
        hostname="server2",
        server_id=12,
        server_uuid="" if engine == MARIADB else TWO,
        read_only=True,
        super_read_only=None if engine == MARIADB else True,
        replication=told,
        semi_sync_source=False,
        semi_sync_active=False,
    )
    return source, replica


class Pair:
    """server1 is the primary, server2 the replica; either may be the one that asks."""

    def __init__(self, engine=MARIADB):
        self.state = dict(zip(("server1", "server2"), servers(engine), strict=True))
        self.more = {name: inspection(engine) for name in self.state}
        self.limits = {}

    def server(self, name, told=None, **changes):
        if told:
            changes["replication"] = dataclasses.replace(self.state[name].replication, **told)
        self.state[name] = dataclasses.replace(self.state[name], **changes)
        return self

    def inspect(self, name, **changes):
        self.more[name] = dataclasses.replace(self.more[name], **changes)
        return self

    def setting(self, name, **values):
        settings = {key: value for key, value in {**self.more[name].settings, **values}.items() if value is not None}
        return self.inspect(name, settings=settings)

    def silent(self, name, access=SILENT):
        self.state[name] = ServerState(state=UNKNOWN, reason="timed out")
        self.more[name] = Inspection(access=access, reason="timed out" if access == SILENT else "refused")
        return self

    def rows(self, here="server2"):
        there = "server1" if here == "server2" else "server2"
        nodes = {name: Node(name, f"192.0.2.{11 + (name == 'server2')}", state) for name, state in self.state.items()}
        context = Context(
            here=Seen(nodes[here], self.more[here]),
            there=Seen(nodes[there], self.more[there]),
            pair=see((nodes[here], nodes[there]), self.more),
            now=NOW,
            limits=Limits(administrators=frozenset({"tandem_operator"}), **self.limits),
        )
        return judge(context)

    def wrong(self, here="server2"):
        return {row.check: row.state for row in self.rows(here) if row.state != "pass"}


@pytest.mark.parametrize("engine", [MARIADB, MYSQL])
@pytest.mark.parametrize("here", ["server1", "server2"])
def test_a_healthy_pair_passes_everything(engine, here):
    pair = Pair(engine)
    assert pair.wrong(here) == {}
    assert len({row.check for row in pair.rows(here)}) > 35


@pytest.mark.parametrize("engine", [MARIADB, MYSQL])
def test_rows_are_sorted_and_complete(engine):
    rows = [row.as_dict() for row in Pair(engine).rows()]
    assert rows == sorted(rows, key=lambda row: (row["check"], row["nodes"]))
    for row in rows:
        assert sorted(row) == ["check", "expected", "nodes", "reason", "remedy", "state", "value"]


# What is done to a healthy pair, and what the checks then say.
FAULTS = {
    "no binary log": (lambda p: p.server("server1", log_bin=False), {"bin-log": "fail"}),
    "statements": (lambda p: p.setting("server1", binlog_format="STATEMENT"), {"bin-format": "fail"}),
    "mixed": (lambda p: p.setting("server1", binlog_format="MIXED"), {"bin-format": "warn"}),
    "minimal rows": (lambda p: p.setting("server1", binlog_row_image="MINIMAL"), {"bin-row-image": "warn"}),
    "a filter": (lambda p: p.inspect("server2", filters={"replicate_do_db": "shop"}), {"bin-filters": "fail"}),
    "filters unknown": (lambda p: p.inspect("server2", filters=None), {"bin-filters": "unknown"}),
    "not durable": (lambda p: p.setting("server1", sync_binlog="0"), {"bin-durable": "warn"}),
    "kept for an hour": (lambda p: p.setting("server1", binlog_expire_logs_seconds="3600"), {"bin-retention": "warn"}),
    "kept for ever": (lambda p: p.setting("server1", binlog_expire_logs_seconds="0", expire_logs_days="0"), {"bin-retention": "warn"}),
    "one server_id": (lambda p: p.server("server2", server_id=11), {"id-server-id": "fail"}),
    "an older replica": (lambda p: p.server("server2", version="10.6.1"), {"id-version": "fail"}),
    "a newer replica": (lambda p: p.server("server2", version="11.8.6"), {"id-version": "warn"}),
    "pages": (lambda p: p.setting("server2", innodb_page_size="8192"), {"id-innodb": "fail"}),
    "no InnoDB": (lambda p: p.inspect("server2", engines=("MyISAM",)), {"id-innodb": "fail", "id-storage-engines": "fail"}),
    "an engine": (lambda p: p.inspect("server1", used_engines=("InnoDB", "ARCHIVE")), {"id-storage-engines": "fail"}),
    "case": (lambda p: p.setting("server2", lower_case_table_names="1"), {"id-table-names": "fail"}),
    "zone": (lambda p: p.setting("server2", system_time_zone="CET"), {"id-time-zone": "warn"}),
    "charset": (lambda p: p.setting("server2", collation_server="utf8mb4_bin"), {"id-charset": "warn"}),
    "clock": (lambda p: p.inspect("server1", clock_offset=-7.0), {"id-clock": "warn"}),
    "receiver stopped": (
        lambda p: p.server("server2", {"io_running": False, "io_connected": False, "lag_seconds": None}),
        {"rpl-connected": "fail", "rpl-lag": "unknown"},
    ),
    "applier stopped": (lambda p: p.server("server2", {"sql_running": False, "lag_seconds": None}), {"rpl-applying": "fail", "rpl-lag": "unknown"}),
    "by position": (lambda p: p.server("server2", {"follows_gtid": False}), {"rpl-source-info": "fail"}),
    "far behind": (lambda p: p.server("server2", {"lag_seconds": 60}), {"rpl-lag": "warn"}),
    "delayed": (lambda p: p.inspect("server2", delay=3600), {"rpl-lag": "fail"}),
    "errant": (lambda p: p.server("server2", gtid="0-11-100,0-12-101"), {"rpl-errant": "fail"}),
    "at risk": (lambda p: p.server("server1", gtid="0-11-110", semi_sync_active=False), {"rpl-at-risk": "warn", "rpl-semi-sync": "warn"}),
    "no semi-sync": (lambda p: p.server("server2", semi_sync_source=None, semi_sync_replica=None), {"rpl-semi-sync": "fail"}),
    "source side off": (lambda p: p.server("server1", semi_sync_source=False), {"rpl-semi-sync": "fail"}),
    "replica side off": (lambda p: p.server("server2", semi_sync_replica=False), {"rpl-semi-sync": "fail"}),
    "both sides on": (lambda p: p.server("server2", semi_sync_source=True), {"rpl-semi-sync": "warn"}),
    "no strict mode": (lambda p: p.setting("server1", gtid_strict_mode="OFF"), {"rpl-gtid-mode": "warn"}),
    "two domains": (lambda p: p.setting("server2", gtid_domain_id="2"), {"rpl-gtid-domain": "warn"}),
    "relay log": (lambda p: p.setting("server2", relay_log_recovery="OFF"), {"rpl-relay-recovery": "warn"}),
    "clear text": (lambda p: p.server("server2", {"tls": False}), {"rpl-tls": "fail"}),
    "not verified": (lambda p: p.server("server2", {"tls_verified": False}), {"rpl-tls": "warn"}),
    "other data": (lambda p: p.server("server2", lineage="two"), {"rpl-lineage": "fail"}),
    "login refused": (lambda p: p.inspect("server2", login=Login(False, reason="no")), {"rpl-login": "fail"}),
    "may not replicate": (lambda p: p.inspect("server2", login=Login(True)), {"rpl-login": "fail"}),
    "login not tried": (lambda p: p.inspect("server2", login=None), {"rpl-login": "unknown"}),
    "no log of updates": (lambda p: p.setting("server2", log_slave_updates="OFF"), {"bin-updates": "fail"}),
    "open replica": (lambda p: p.server("server2", read_only=False), {"role-primary": "fail", "role-read-only": "fail"}),
    "nobody writes": (lambda p: p.server("server1", read_only=True), {"role-primary": "fail", "rpl-source": "warn"}),
    "an application": (lambda p: p.inspect("server1", bypass={"app@%": ("READ ONLY ADMIN",)}), {"role-bypass": "fail"}),
    "accounts unknown": (lambda p: p.inspect("server1", bypass=None), {"role-bypass": "unknown"}),
    "an event twice": (
        lambda p: p.inspect("server2", events=(Event("s.e", "ENABLED"),)).setting("server2", event_scheduler="ON"),
        {"role-events": "fail"},
    ),
    "an event asleep": (lambda p: p.inspect("server1", events=(Event("s.e", "SLAVESIDE_DISABLED"),)), {"role-events": "warn"}),
    "triggers": (lambda p: p.setting("server2", slave_run_triggers_for_rbr="YES").inspect("server2", triggers=3), {"role-triggers": "warn"}),
    "no key": (lambda p: p.inspect("server1", without_key=("s.t",)), {"data-primary-key": "warn"}),
    "MyISAM": (lambda p: p.inspect("server1", not_innodb=("s.t (MyISAM)",)), {"data-storage-engine": "warn"}),
    "long transaction": (lambda p: p.inspect("server1", transactions=(Work(5, "app", 60, ""),)), {"now-transactions": "warn"}),
    "DDL": (lambda p: p.inspect("server1", ddl=(Work(5, "app", 1, "ALTER TABLE"),)), {"now-ddl": "warn"}),
    "full of connections": (lambda p: p.inspect("server1", status={"max_used_connections": "190"}), {"now-connections": "warn"}),
    "disk": (lambda p: p.inspect("server2", disk={"used_percent": 93, "free_mb": 700}), {"now-disk": "warn"}),
    "disk full": (lambda p: p.inspect("server2", disk={"used_percent": 93, "free_mb": 7}), {"now-disk": "fail"}),
    "expired": (lambda p: p.inspect("server1", certificate_ends="Nov 20 00:00:00 2026 GMT"), {"now-certificate": "fail"}),
    "expires": (lambda p: p.inspect("server1", certificate_ends="Nov 30 00:00:00 2026 GMT"), {"now-certificate": "warn"}),
    "no certificate": (lambda p: p.inspect("server1", certificate_ends=""), {"now-certificate": "unknown"}),
}
FAULTS_OF_MYSQL = {
    "one uuid": (lambda p: p.server("server2", server_uuid=ONE), {"id-server-uuid": "fail"}),
    "administrators write": (lambda p: p.server("server2", super_read_only=False), {"role-super-read-only": "warn"}),
    "no GTID": (lambda p: p.setting("server1", gtid_mode="OFF"), {"rpl-gtid-mode": "fail"}),
    "purged": (lambda p: p.server("server1", gtid=f"{ONE}:1-120", gtid_purged=f"{ONE}:1-110"), {"bin-purged": "fail"}),
    "position in a file": (lambda p: p.setting("server2", master_info_repository="FILE"), {"rpl-source-info": "warn"}),
    "tagged errant": (lambda p: p.server("server2", gtid=f"{ONE}:1-100:app:1"), {"rpl-errant": "fail"}),
    "an application": (lambda p: p.inspect("server1", bypass={"app@%": ("CONNECTION ADMIN",)}), {"role-bypass": "fail"}),
    "two engines": (lambda p: p.server("server2", engine=MARIADB, gtid="0-12-1", server_uuid=""), None),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(fault):
    do, expected = FAULTS[fault]
    assert do(Pair()).wrong() == expected


@pytest.mark.parametrize("fault", FAULTS_OF_MYSQL)
def test_a_fault_of_mysql_is_named(fault):
    do, expected = FAULTS_OF_MYSQL[fault]
    found = do(Pair(MYSQL)).wrong()
    if expected is None:
        assert found["id-engine"] == "fail"
    else:
        assert found == expected


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_is_wrong_says_why_and_what_to_do(fault):
    for row in FAULTS[fault][0](Pair()).rows():
        if row.state in ("fail", "warn"):
            assert row.reason.strip() and row.remedy.strip(), row
        if row.state == "pass":
            assert not row.remedy, row


def test_where_nobody_can_tell_the_primary_no_playbook_is_promised_to():
    """Both closed, each with transactions that the other one lacks (seen with MySQL after an errant one)."""
    pair = Pair(MYSQL).server("server1", read_only=True, gtid=f"{ONE}:1-110").server("server2", gtid=f"{ONE}:1-100,{TWO}:1")
    rows = {row.check: row for row in pair.rows()}
    assert rows["rpl-errant"].state == rows["role-primary"].state == "fail"
    for check in ("rpl-errant", "role-primary"):
        assert "Decide which data to keep" in rows[check].remedy
    closed = {row.check: row for row in Pair(MYSQL).server("server1", read_only=True).rows()}
    assert "playbooks/database.yml" in closed["role-primary"].remedy and closed["rpl-errant"].state == "pass"


def test_a_privilege_counts_where_it_lets_through():
    """MariaDB's SUPER is not enough to write on a closed server since 10.11 (seen there); before, it is."""
    super_app = {"app@%": ("SUPER",)}
    assert Pair().inspect("server1", bypass=super_app).wrong() == {}
    old = Pair().server("server1", version="10.6.20").server("server2", version="10.6.20").inspect("server1", bypass=super_app)
    assert old.wrong() == {"role-bypass": "fail"}
    assert Pair(MYSQL).inspect("server1", bypass=super_app).wrong() == {"role-bypass": "fail"}


def test_a_replica_that_waits_to_confirm_is_told_from_none():
    idle = Pair().server("server1", semi_sync_active=False)
    idle.inspect("server1", status={"max_used_connections": "1", "rpl_semi_sync_master_clients": "1"})
    row = next(row for row in idle.rows() if row.check == "rpl-semi-sync" and row.nodes == ("server1",))
    assert row.state == "warn" and "next commit" in row.remedy


def test_a_dead_peer_leaves_the_pair_unknown_and_the_rest_answers():
    for here, there in (("server2", "server1"), ("server1", "server2")):
        rows = Pair().silent(there).rows(here)
        about = {row.nodes: set() for row in rows}
        for row in rows:
            about[row.nodes].add(row.state)
        assert about[("server1", "server2")] == {"unknown"}
        assert about[(there,)] == {"unknown"}
        assert "pass" in about[(here,)]
        assert not [row for row in rows if row.state == "fail" and there in row.nodes]


def test_a_wrong_password_is_a_fault_of_the_login_not_of_the_server():
    found = Pair().silent("server1", DENIED).wrong()
    assert found["role-operator"] == "fail" and found["role-answers"] == "unknown"


def test_each_code_is_documented_once_and_none_is_invented():
    assert len(set(CODES)) == len(RULES)
    text = (ROOT / "docs" / "runbooks" / "check.md").read_text(encoding="utf-8")
    documented = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert sorted(documented) == list(CODES)


def said(pair):
    return {name: [row.as_dict() for row in pair.rows(name)] for name in ("server1", "server2")}


def test_two_reports_are_one_and_each_node_knows_itself_best():
    pair = Pair()
    both = said(pair)
    both["server2"] = [{**row, "state": "unknown"} if row["check"] == "data-primary-key" and row["nodes"] == ["server1"] else row for row in both["server2"]]
    rows = merge(both)
    assert worst(rows) == "pass"
    keys = [(row["check"], tuple(row["nodes"])) for row in rows]
    assert len(keys) == len(set(keys)) and keys == sorted(keys)


def test_what_is_not_about_a_role_is_not_unknown_because_the_other_node_cannot_tell():
    both = said(Pair())
    both["server2"] = [row.as_dict() for row in Pair().silent("server1", DENIED).rows("server2")]
    rows = merge(both)
    assert [row["state"] for row in rows if row["check"] == "rpl-source"] == ["pass"], "one of the two could compare both"
    assert [(row["check"], row["nodes"]) for row in rows if row["state"] == "unknown"] == []
    assert [row["nodes"] for row in rows if row["check"] == "role-operator" and row["state"] == "fail"] == [["server2"]]


def test_of_both_the_worst_counts():
    good, bad = said(Pair()), said(Pair().inspect("server1", clock_offset=9.0))
    rows = merge({"server1": good["server1"], "server2": bad["server2"]})
    assert worst(rows) == "warn"
    assert counts(rows)["warn"] == 1


def test_nothing_said_is_unknown():
    assert worst([]) == "unknown" and merge({}) == []


def test_the_table_begins_with_what_is_wrong_and_says_what_to_do():
    rows = merge(said(Pair().server("server2", {"sql_running": False, "lag_seconds": None})))
    lines = [line for _state, line in draw(rows)]
    assert lines[2].startswith("FAIL") and "rpl-applying" in lines[2]
    assert any("START SLAVE on server2" in line for line in lines)
    assert verdict(rows, {"server9": "no route"})[0].startswith("FAIL.")
    assert "server9" in verdict(rows, {"server9": "no route"})[1]


def test_a_silent_server_takes_one_line_not_forty():
    pair = Pair().silent("server1")
    rows = merge({"server2": [row.as_dict() for row in pair.rows("server2")]})
    lines = [line for _state, line in draw(rows)]
    assert len([line for line in lines if line.startswith("UNKNOWN")]) < 8
    assert [line for line in lines if "rpl-errant" in line and "id-server-id" in line], "what is not known is named"
