# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server is asked, and what becomes of a refusal. A server that answers from a script stands in."""

from __future__ import annotations

import datetime
import re
import time

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils import inspection as inspection_module
from ansible_collections.tandem.lemp.plugins.module_utils.connection import Endpoint
from ansible_collections.tandem.lemp.plugins.module_utils.decide import Node
from ansible_collections.tandem.lemp.plugins.module_utils.dialect import Dialect
from ansible_collections.tandem.lemp.plugins.module_utils.errors import AccessDenied, StatementFailed, Unreachable
from ansible_collections.tandem.lemp.plugins.module_utils.inspection import (
    ANSWERED,
    DENIED,
    SILENT,
    Address,
    Event,
    inspect,
    left_out,
    look_at_both,
    try_login,
)
from ansible_collections.tandem.lemp.plugins.module_utils.server import Server
from ansible_collections.tandem.lemp.plugins.module_utils.state import RUNNING, ServerState

MARIADB = ("10.11.19-MariaDB-log", "Debian 12")
MYSQL = ("9.7.4", "(Debian)")
SECRET = "CREATE USER x IDENTIFIED BY 'hidden'"


class Scripted:
    """Answers the first pattern that matches. An answer that is an exception is raised."""

    def __init__(self, version, answers):
        self.endpoint = Endpoint(socket="/s")
        self.asked: list[str] = []
        self.answers = {r"SELECT VERSION": [{"version": version[0], "comment": version[1]}], **answers}

    def __call__(self, _endpoint):
        return self

    def rows(self, statement, arguments=()):
        self.asked.append(statement)
        for pattern, answer in self.answers.items():
            if re.search(pattern, statement):
                if isinstance(answer, Exception):
                    raise answer
                return list(answer)
        if "UTC_TIMESTAMP" in statement:
            return [{"moment": datetime.datetime.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None)}]
        if "COUNT(*)" in statement:
            return [{"count": 0}]
        return []

    def close(self):
        self.asked.append("closed")


@pytest.fixture
def server(monkeypatch):
    def make(version, **answers):
        scripted = Scripted(version, answers)
        monkeypatch.setattr(inspection_module, "Connection", scripted)
        return scripted

    return make


def answering(server, version, answers):
    scripted = server(version)
    scripted.answers.update(answers)
    return scripted


ALL = {"privilege_type = 'SELECT'": [{"yes": 1}]}


@pytest.mark.parametrize("version", [MARIADB, MYSQL, ("5.7.44", "MySQL Community Server"), ("12.0.2-MariaDB", "")])
def test_every_question_has_a_bound_and_the_connection_is_closed(server, version):
    scripted = answering(server, version, ALL)
    seen = inspect(Endpoint(socket="/s"))
    assert seen.access == ANSWERED and not seen.unseen
    assert re.search(r"max_(statement|execution)_time", scripted.asked[1])
    assert scripted.asked[-1] == "closed"


def test_the_binary_log_is_asked_in_the_words_of_the_version(server):
    for version, words in ((MARIADB, "SHOW MASTER STATUS"), (MYSQL, "SHOW BINARY LOG STATUS"), (("8.0.36", ""), "SHOW MASTER STATUS")):
        scripted = answering(server, version, ALL)
        inspect(Endpoint(socket="/s"))
        assert words in scripted.asked


@pytest.mark.parametrize("version", [MARIADB, MYSQL])
def test_transactions_are_as_old_as_they_are_in_any_time_zone(server, version):
    """InnoDB tells the machine's local time, NOW() that of default_time_zone."""
    scripted = answering(server, version, ALL)
    inspect(Endpoint(socket="/s"))
    (asked,) = (statement for statement in scripted.asked if "trx_started" in statement)
    for statement in (asked, Dialect.of(*version).show_sessions):
        assert "trx_started, CONVERT_TZ(NOW(6), @@session.time_zone, 'SYSTEM')" in statement


def test_filters_of_both_kinds_are_found(server):
    answering(
        server,
        MARIADB,
        {"SHOW MASTER STATUS": [{"File": "b.1", "Binlog_Do_DB": "shop", "Binlog_Ignore_DB": ""}], "SHOW SLAVE STATUS": [{"Replicate_Wild_Do_Table": "a.%"}]},
    )
    assert inspect(Endpoint(socket="/s")).filters == {"binlog_do_db": "shop", "replicate_wild_do_table": "a.%"}


def test_filters_of_a_mysql_primary_are_found_before_it_follows(server):
    rows = [{"name": "REPLICATE_DO_DB", "rule": "shop"}]
    answering(server, MYSQL, {"replication_applier_global_filters": rows})
    assert inspect(Endpoint(socket="/s")).filters == {"replicate_do_db": "shop"}


@pytest.mark.parametrize("watched", [0, 1])
def test_sessions_are_seen_without_performance_schema(server, watched):
    """Its tables are empty then: nobody would seem to be there."""
    row = {"version": MYSQL[0], "comment": "", "performance_schema": watched}
    scripted = answering(server, MYSQL, {"SELECT VERSION": [row]})
    inspect(Endpoint(socket="/s"))
    said = [*scripted.asked, Server(scripted).dialect.show_sessions]
    assert any("performance_schema.threads" in statement for statement in said) == bool(watched)
    assert any("performance_schema.processlist" in statement for statement in said) == bool(watched)
    assert sum("FROM information_schema.processlist" in statement for statement in said) == (0 if watched else 3)


def test_who_may_not_see_the_tables_says_so_instead_of_finding_none(server):
    answering(server, MARIADB, {})
    seen = inspect(Endpoint(socket="/s"))
    assert (seen.tables, seen.without_key, seen.not_innodb, seen.events) == (None, None, None, None)
    assert "may not see" in seen.unseen["tables"]


def test_tables_without_a_key_and_of_another_engine(server):
    tables = [{"a": "s", "b": "keyed", "c": "InnoDB"}, {"a": "s", "b": "bare", "c": "MyISAM"}]
    answering(server, MARIADB, {**ALL, "information_schema.tables": tables, "table_constraints": [{"a": "s", "b": "keyed"}]})
    seen = inspect(Endpoint(socket="/s"))
    assert (seen.tables, seen.without_key, seen.not_innodb) == (2, ("s.bare",), ("s.bare (MyISAM)",))


def test_who_may_not_see_the_accounts_does_not_find_only_itself(server):
    answering(server, MYSQL, {**ALL, "mysql.user": StatementFailed("command denied", code=1142), "user_privileges": [{"grantee": "'me'@'%'"}]})
    seen = inspect(Endpoint(socket="/s"))
    assert seen.bypass is None and seen.unseen["bypass"] == "command denied"


def test_both_spellings_of_a_privilege_are_one(server):
    rows = [{"grantee": f"'{who}'@'%'", "privilege_type": what} for who, what in (("a", "READ_ONLY ADMIN"), ("b", "READ ONLY ADMIN"))]
    answering(server, MARIADB, {"privilege_type IN": rows})
    assert inspect(Endpoint(socket="/s")).bypass == {"a@%": ("READ ONLY ADMIN",), "b@%": ("READ ONLY ADMIN",)}


def test_replication_has_transactions_of_its_own_and_no_text_leaks(server):
    threads = [
        {"id": 5, "user": "app", "command": "Query", "seconds": 9, "info": SECRET},
        {"id": 6, "user": "system user", "command": "Slave_SQL", "seconds": 9, "info": "ALTER TABLE x"},
        {"id": 7, "user": "app", "command": "Query", "seconds": 1, "info": "SELECT 'ALTER TABLE x'"},
    ]
    open_ones = [{"id": number, "seconds": 8, "modified": 2} for number in (5, 6)]
    answering(server, MARIADB, {"innodb_trx": open_ones, "processlist": threads})
    seen = inspect(Endpoint(socket="/s"))
    assert [work.id for work in seen.transactions or ()] == [5]
    assert [(work.id, work.what) for work in seen.ddl or ()] == [(5, "CREATE USER")]
    assert "hidden" not in repr(seen)


def test_an_event_that_came_by_replication_waits():
    assert Event("s.e", "SLAVESIDE_DISABLED").waiting and not Event("s.e", "SLAVESIDE_DISABLED").enabled
    assert Event("s.e", "REPLICA_SIDE_DISABLED").waiting
    assert Event("s.e", "ENABLED").enabled and not Event("s.e", "DISABLED").waiting


def test_every_event_that_is_not_switched_off_is_seen(server):
    """The server sorts them by name: a bound would hide the last ones, whatever their status."""
    rows = [{"a": "s", "b": f"e{number:03}", "c": "ENABLED"} for number in range(50)]
    scripted = answering(server, MARIADB, {**ALL, "information_schema.events": rows})
    assert len(inspect(Endpoint(socket="/s")).events or ()) == 50
    (asked,) = (statement for statement in scripted.asked if "information_schema.events" in statement)
    assert "status <> 'DISABLED'" in asked and "LIMIT" not in asked


def test_the_clock_of_the_server_is_compared_with_ours(server):
    late = datetime.datetime.fromtimestamp(time.time() + 5, datetime.UTC).replace(tzinfo=None)
    answering(server, MARIADB, {"UTC_TIMESTAMP": [{"moment": late}]})
    seen = inspect(Endpoint(socket="/s"))
    assert seen.clock_offset == pytest.approx(5, abs=1)


@pytest.mark.parametrize(("error", "access"), [(AccessDenied("no"), DENIED), (Unreachable("silence"), SILENT)])
def test_a_server_that_does_not_let_us_in_is_an_answer(monkeypatch, error, access):
    def refuse(_endpoint):
        raise error

    monkeypatch.setattr(inspection_module, "Connection", refuse)
    seen = inspect(Endpoint(host="192.0.2.12"))
    assert (seen.access, seen.reason) == (access, str(error))
    login = try_login(Endpoint(host="192.0.2.12"))
    assert login.allowed is (False if access == DENIED else None)


@pytest.mark.parametrize(
    ("grant", "may"),
    [
        ("GRANT REPLICATION SLAVE ON *.* TO `r`@`h`", True),
        ("GRANT ALL PRIVILEGES ON *.* TO `r`@`h`", True),
        ("GRANT USAGE ON *.* TO `r`@`h`", False),
        ("GRANT ALL PRIVILEGES ON `blog`.* TO `r`@`h`", False),
    ],
)
def test_the_replication_account_needs_one_privilege(server, grant, may):
    answering(server, MARIADB, {"SHOW GRANTS": [{"Grants for r@h": grant}]})
    assert try_login(Endpoint(host="192.0.2.12")).may_replicate is may


@pytest.mark.parametrize(("writable_here", "last"), [(True, "here"), (False, "there")])
def test_whoever_takes_writes_is_looked_at_last(server, monkeypatch, writable_here, last):
    answering(server, MARIADB, {"SHOW GLOBAL VARIABLES": [{"Variable_name": "report_host", "Value": "192.0.2.11"}]})
    order = []

    def look(endpoint, _datadir=""):
        here = bool(endpoint.socket)
        order.append("here" if here else "there")
        return ServerState(state=RUNNING, read_only=here != writable_here)

    monkeypatch.setattr(inspection_module, "look", look)
    (here, _more), (there, _more_there) = look_at_both(
        Address("server1", "", Endpoint(socket="/s")), Address("server2", "192.0.2.12", Endpoint(host="192.0.2.12")), ""
    )
    assert order[-1] == last
    assert here == Node("server1", "192.0.2.11", here.server), "the address is what the server reports"
    assert there.address == "192.0.2.12"


@pytest.mark.parametrize("version", [MARIADB, MYSQL])
def test_what_replication_leaves_out_is_told_in_words(monkeypatch, version) -> None:
    status = {"Replicate_Wild_Ignore_Table": "blog.tmp%", "Replicate_Do_DB": "", "SQL_Delay": 60}
    scripted = Scripted(version, {
        r"GLOBAL VARIABLES": [{"Variable_name": "binlog_format", "Value": "ROW"}, {"Variable_name": "replicate_do_db", "Value": ""}],
        r"SHOW (BINARY LOG|MASTER) STATUS": [{"File": "binlog.000001", "Binlog_Do_DB": "", "Binlog_Ignore_DB": "cache"}],
        r"SHOW (REPLICA|SLAVE) STATUS": [status],
    })  # fmt: skip
    monkeypatch.setattr(inspection_module, "Connection", scripted)
    assert left_out(Endpoint(socket="/s")) == ["binlog_ignore_db = cache", "replicate_wild_ignore_table = blog.tmp%", "it stays 60 s behind"]
    assert scripted.asked[-1] == "closed"
