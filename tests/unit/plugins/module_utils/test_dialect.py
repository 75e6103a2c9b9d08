# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each server is spoken to in its own words."""

from __future__ import annotations

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.dialect import Dialect
from ansible_collections.tandem.lemp.plugins.module_utils.errors import TandemError

MARIADB = Dialect.of("10.11.19-MariaDB-0+deb12u1-log", "Debian 12")
MYSQL9 = Dialect.of("9.7.4-2", "(Debian)")
MYSQL57 = Dialect.of("5.7.44-log", "MySQL Community Server (GPL)")


@pytest.mark.parametrize(
    ("version", "comment", "engine", "numbers"),
    [
        ("10.11.19-MariaDB-0+deb12u1-log", "", "mariadb", (10, 11, 19)),
        ("11.8.6-MariaDB-0+deb13u1 from Debian", "", "mariadb", (11, 8, 6)),
        ("5.5.5-10.5.29-MariaDB", "", "mariadb", (10, 5, 29)),
        ("10.6.1", "mariadb.org binary distribution", "mariadb", (10, 6, 1)),
        ("9.7.4-2", "(Debian)", "mysql", (9, 7, 4)),
        ("8.0.22", "", "mysql", (8, 0, 22)),
    ],
)
def test_a_server_is_recognised_by_what_it_says(version, comment, engine, numbers):
    said = Dialect.of(version, comment)
    assert (said.engine, said.version) == (engine, numbers)


def test_what_is_no_version_is_refused():
    with pytest.raises(TandemError):
        Dialect.of("PostgreSQL 17")


def test_old_words_for_mariadb_and_old_mysql_new_ones_for_new_mysql():
    assert MARIADB.show_replica_status == MYSQL57.show_replica_status == "SHOW SLAVE STATUS"
    assert MYSQL9.show_replica_status == "SHOW REPLICA STATUS"
    assert (MARIADB.forget_source, MYSQL9.forget_source) == ("RESET SLAVE ALL", "RESET REPLICA ALL")
    assert (MARIADB.forget_binlog, MYSQL9.forget_binlog) == ("RESET MASTER", "RESET BINARY LOGS AND GTIDS")
    assert (MYSQL57.follow_gtid, MYSQL9.follow_gtid) == ("MASTER_AUTO_POSITION = 1", "SOURCE_AUTO_POSITION = 1")
    assert MARIADB.follow_gtid == "MASTER_USE_GTID = slave_pos"


def test_the_source_is_named_without_a_value_in_the_statement():
    options = {"SOURCE_HOST": "192.0.2.11", "SOURCE_PASSWORD": "it's", "SOURCE_SSL_CA": "/ca.pem"}
    for said, word in ((MARIADB, "MASTER"), (MYSQL57, "MASTER"), (MYSQL9, "SOURCE")):
        statement, arguments = said.change_source(options)
        assert f"{word}_HOST = %s, {word}_PASSWORD = %s, {word}_SSL_CA = %s" in statement
        assert arguments == ["192.0.2.11", "it's", "/ca.pem"]


def test_columns_and_variables_are_found_under_either_name():
    assert MARIADB.column({"Slave_IO_Running": "Yes"}, "Replica_IO_Running") == "Yes"
    assert MYSQL9.column({"Replica_IO_Running": "Yes"}, "Replica_IO_Running") == "Yes"
    assert MARIADB.column({"Master_SSL_CA_File": "/ca.pem"}, "Source_SSL_CA_File") == "/ca.pem"
    assert MARIADB.semi_sync({"rpl_semi_sync_master_enabled": "ON"}, "source", "enabled") == (
        "rpl_semi_sync_master_enabled",
        "ON",
    )
    assert MYSQL9.semi_sync({"Rpl_semi_sync_source_status": "OFF"}, "source", "status") == (
        "rpl_semi_sync_source_status",
        "OFF",
    )
    assert MYSQL9.semi_sync({}, "replica", "enabled") is None


def test_the_size_of_the_data_is_asked_in_words_the_version_knows():
    old = Dialect.of("8.0.28", "MySQL Community Server - GPL")
    assert [said.tablespaces for said in (MARIADB, MYSQL57, old, MYSQL9)] == ["innodb_sys_tablespaces"] * 2 + ["innodb_tablespaces"] * 2
    assert MYSQL57.redo_size == old.redo_size == "@@innodb_log_file_size * @@innodb_log_files_in_group"
    assert (MARIADB.redo_size, MYSQL9.redo_size) == ("@@innodb_log_file_size", "@@innodb_redo_log_capacity")
