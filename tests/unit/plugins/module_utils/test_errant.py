# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What mariadb-binlog and mysqlbinlog print becomes transactions that a person can read."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.errant import Change, Transaction, read, save
from ansible_collections.tandem.lemp.plugins.module_utils.errors import OperationFailed
from ansible_collections.tandem.lemp.plugins.module_utils.gtid import MARIADB, MYSQL, GtidSet

FRAME = "/*!50530 SET @@SESSION.PSEUDO_SLAVE_MODE=1*/;\nDELIMITER /*!*/;\n"
MARIADB_LOG = f"""{FRAME}# at 344
#261121 12:04:02 server id 12  end_log_pos 386 CRC32 0x4878c308 \tGTID 0-12-99 trans
/*M!100001 SET @@session.gtid_seq_no=99*//*!*/;
START TRANSACTION
/*!*/;
### INSERT INTO `blog`.`posts`
### SET
###   @1=1 /* INT meta=0 nullable=0 is_null=0 */
COMMIT/*!*/;
# at 500
#261121 12:04:34 server id 11  end_log_pos 542 CRC32 0x77741983 \tGTID 0-11-101 ddl
/*M!100001 SET @@session.gtid_seq_no=101*//*!*/;
# at 542
#261121 12:04:34 server id 11  end_log_pos 600 CRC32 0x77741983 \tQuery\tthread_id=5\texec_time=0
CREATE TABLE extra (id INT PRIMARY KEY)
/*!*/;
# at 600
#261121 12:04:35 server id 11  end_log_pos 642 CRC32 0x77741983 \tGTID 0-11-102 trans
START TRANSACTION
/*!*/;
# at 642
BINLOG '
sogBaxMLAAAARwAAAFElAAAAABgAAAAAAAEABGJsb2cADHRhbmRlbV9kcmlsbAABDwKgAAACAS0E
'/*!*/;
### UPDATE `blog`.`extra`
### WHERE
###   @1=7 /* INT meta=0 nullable=0 is_null=0 */
### SET
###   @1=8 /* INT meta=0 nullable=0 is_null=0 */
COMMIT/*!*/;
DELIMITER ;
# End of log file
"""


def test_only_the_errant_ones_are_kept_and_told() -> None:
    kept: list[str] = []
    lowest: dict[int, int] = {}
    errant = GtidSet(MARIADB, {(0, 11): [(100, 102)]})
    found = list(read(MARIADB_LOG.splitlines(keepends=True), errant, kept.append, lowest))
    assert [one.gtid for one in found] == ["0-11-101", "0-11-102"]
    assert found[0].statements == ["CREATE TABLE extra (id INT PRIMARY KEY)"]
    change = found[1].changes[0]
    assert (change.operation, change.table, change.before, change.after) == ("update", "blog.extra", {"1": "7"}, {"1": "8"})
    text = "".join(kept)
    assert "`blog`.`posts`" not in text and "BINLOG" in text and text.startswith(FRAME) and "DELIMITER ;" in text
    assert lowest == {0: 99}


def test_a_number_that_the_log_jumps_over_was_another_servers() -> None:
    missing = GtidSet(MARIADB, {(0, 11): [(100, 100)]})
    assert not missing.below({0: 99})
    assert missing.below({0: 101}) == missing
    assert missing.below({}) == missing


def test_mysql_is_exact() -> None:
    uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
    log = (
        "DELIMITER /*!*/;\n# at 4\n#261121 12:00:00 server id 11  end_log_pos 100 CRC32 0x1 \tGTID\tlast_committed=0\n"
        f"SET @@SESSION.GTID_NEXT= '{uuid}:5'/*!*/;\n# at 100\n### DELETE FROM `a`.`b`\n### WHERE\n###   @1='x' /* STRING */\nCOMMIT/*!*/;\n"
        "SET @@SESSION.GTID_NEXT= 'AUTOMATIC' /* added by mysqlbinlog */ /*!*/;\n"
    )
    found = list(read(log.splitlines(keepends=True), GtidSet.parse(f"{uuid}:5", MYSQL), [].append))
    assert [(one.gtid, one.changes[0].operation, one.changes[0].before) for one in found] == [(f"{uuid}:5", "delete", {"1": "'x'"})]


# As mariadb-binlog of 10.11 prints it: what does not change is not said again, whichever transaction is left out.
STATEMENTS = f"""{FRAME}# at 328
#261121 12:04:00 server id 11  end_log_pos 370 CRC32 0x7caf5212 \tGTID 0-11-100 ddl thread_id=6
/*M!100101 SET @@session.skip_parallel_replication=0*//*!*/;
/*M!100001 SET @@session.gtid_domain_id=0*//*!*/;
/*M!100001 SET @@session.server_id=11*//*!*/;
/*M!100001 SET @@session.gtid_seq_no=100*//*!*/;
# at 370
#261121 12:04:00 server id 11  end_log_pos 480 CRC32 0xf424ba55 \tQuery\tthread_id=6\texec_time=0\terror_code=0\txid=10
use `blog`/*!*/;
SET TIMESTAMP=1795262640/*!*/;
SET @@session.pseudo_thread_id=6/*!*/;
SET @@session.foreign_key_checks=1, @@session.sql_auto_is_null=0, @@session.unique_checks=1, @@session.autocommit=1/*!*/;
SET @@session.sql_mode=1411383304/*!*/;
SET @@session.auto_increment_increment=1, @@session.auto_increment_offset=1/*!*/;
/*!\\C utf8mb4 *//*!*/;
SET @@session.character_set_client=utf8mb4,@@session.collation_connection=2304,@@session.collation_server=2304/*!*/;
SET @@session.time_zone='Europe/Vienna'/*!*/;
SET @@session.lc_time_names=0/*!*/;
SET @@session.collation_database=DEFAULT/*!*/;
CREATE TABLE shared (id INT PRIMARY KEY)
/*!*/;
# at 480
#261121 12:04:01 server id 11  end_log_pos 522 CRC32 0x7caf5212 \tGTID 0-11-101 ddl thread_id=6
/*M!100001 SET @@session.gtid_seq_no=101*//*!*/;
# at 522
#261121 12:04:01 server id 11  end_log_pos 600 CRC32 0xf424ba55 \tQuery\tthread_id=6\texec_time=0\terror_code=0\txid=11
SET TIMESTAMP=1795262641/*!*/;
SET @@session.foreign_key_checks=0/*!*/;
CREATE TABLE extra (id INT PRIMARY KEY)
/*!*/;
# at 600
#261121 12:04:02 server id 12  end_log_pos 642 CRC32 0x7caf5212 \tGTID 0-12-102 ddl thread_id=7
/*M!100001 SET @@session.server_id=12*//*!*/;
/*M!100001 SET @@session.gtid_seq_no=102*//*!*/;
# at 642
#261121 12:04:02 server id 12  end_log_pos 700 CRC32 0xf424ba55 \tQuery\tthread_id=7\texec_time=0\terror_code=0\txid=12
use `shop`/*!*/;
SET TIMESTAMP=1795262642/*!*/;
DROP TABLE old
/*!*/;
# at 700
#261121 12:04:03 server id 11  end_log_pos 742 CRC32 0x7caf5212 \tGTID 0-11-103 ddl thread_id=6
/*M!100001 SET @@session.server_id=11*//*!*/;
/*M!100001 SET @@session.gtid_seq_no=103*//*!*/;
# at 742
#261121 12:04:03 server id 11  end_log_pos 800 CRC32 0xf424ba55 \tQuery\tthread_id=6\texec_time=0\terror_code=0\txid=13
SET TIMESTAMP=1795262643/*!*/;
CREATE TABLE goods (id INT PRIMARY KEY)
/*!*/;
DELIMITER ;
# End of log file
"""
ERRANT = GtidSet(MARIADB, {(0, 11): [(101, 103)]})


def test_what_is_kept_can_be_applied_where_the_numbers_have_gone_on() -> None:
    """gtid_strict_mode refuses an old number, and a node ignores rows under its own server_id."""
    kept: list[str] = []
    found = list(read(STATEMENTS.splitlines(keepends=True), ERRANT, kept.append))
    text = "".join(kept)
    assert not any(word in text for word in ("gtid_seq_no=", "gtid_domain_id=", "server_id="))
    assert "CREATE TABLE shared" not in text and "DROP TABLE old" not in text
    assert [(one.gtid, one.database, one.statements) for one in found] == [
        ("0-11-101", "blog", ["CREATE TABLE extra (id INT PRIMARY KEY)"]),
        ("0-11-103", "shop", ["CREATE TABLE goods (id INT PRIMARY KEY)"]),
    ]


@pytest.mark.parametrize(("table", "database", "checks"), [("extra", "blog", "0"), ("goods", "shop", "0")])
def test_what_was_said_in_a_transaction_that_is_left_out_is_said_before_each_statement(table, database, checks) -> None:
    kept: list[str] = []
    list(read(STATEMENTS.splitlines(keepends=True), ERRANT, kept.append))
    text = "".join(kept)
    own = text[text.rindex("\tGTID", 0, text.index(f"CREATE TABLE {table}")) : text.index(f"CREATE TABLE {table}")]
    said = {}
    for line in own.splitlines():
        if line.startswith("SET @@session."):
            said.update(part.strip().split("=") for part in line.removeprefix("SET ").removesuffix("/*!*/;").split(","))
    assert f"use `{database}`/*!*/;\n" in own and "/*!\\C utf8mb4 *//*!*/;\n" in own
    assert said["@@session.sql_mode"] == "1411383304" and said["@@session.time_zone"] == "'Europe/Vienna'"
    assert (said["@@session.character_set_client"], said["@@session.collation_database"]) == ("utf8mb4", "DEFAULT")
    assert said["@@session.foreign_key_checks"] == checks and said["@@session.unique_checks"] == "1"


def test_what_mysql_prints_is_kept_as_it_is() -> None:
    """It leaves out the others itself. Under their own numbers they can be applied once, wherever they never were."""
    uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
    log = (
        "DELIMITER /*!*/;\n# at 4\n#261121 12:00:00 server id 11  end_log_pos 126 CRC32 0x1 \tStart: binlog v 4, server v 8.4.6 created 261121 12:00:00\n"
        "# at 126\n#261121 12:00:00 server id 11  end_log_pos 197 CRC32 0x1 \tPrevious-GTIDs\n# at 197\n"
        "#261121 12:00:01 server id 11  end_log_pos 276 CRC32 0x1 \tGTID\tlast_committed=0\tsequence_number=1\trbr_only=no\n"
        "/*!80001 SET @@session.original_commit_timestamp=1795262401000000*//*!*/;\n"
        f"SET @@SESSION.GTID_NEXT= '{uuid}:5'/*!*/;\n# at 276\n"
        "#261121 12:00:01 server id 11  end_log_pos 400 CRC32 0x1 \tQuery\tthread_id=9\texec_time=0\terror_code=0\tXid = 8\n"
        "use `blog`/*!*/;\nSET TIMESTAMP=1795262401/*!*/;\nSET @@session.sql_mode=1168113696/*!*/;\n/*!\\C utf8mb4 *//*!*/;\n"
        "CREATE TABLE extra (id INT PRIMARY KEY)\n/*!*/;\nSET @@SESSION.GTID_NEXT= 'AUTOMATIC' /* added by mysqlbinlog */ /*!*/;\n"
        "DELIMITER ;\n# End of log file\n"
    )
    kept: list[str] = []
    (only,) = read(log.splitlines(keepends=True), GtidSet.parse(f"{uuid}:5", MYSQL), kept.append)
    assert "".join(kept) == log
    assert (only.gtid, only.database, only.statements) == (f"{uuid}:5", "blog", ["CREATE TABLE extra (id INT PRIMARY KEY)"])


def test_a_transaction_of_rows_needs_no_database_that_may_be_gone() -> None:
    kept: list[str] = []
    log = STATEMENTS.replace("DELIMITER ;\n# End of log file\n", "") + MARIADB_LOG.removeprefix(FRAME).replace("0-12-99", "0-11-999")
    list(read(log.splitlines(keepends=True), GtidSet(MARIADB, {(0, 11): [(999, 999)]}), kept.append))
    text = "".join(kept)
    assert "`blog`.`posts`" in text and "use `" not in text


def test_no_row_is_held_until_its_transaction_ends() -> None:
    """A bulk load is one transaction."""
    rows: list[tuple[str, Change]] = []

    def lines() -> Any:
        yield from MARIADB_LOG.splitlines(keepends=True)[:4]
        for number in range(1000):
            assert len(rows) >= number - 1
            yield from ("### INSERT INTO `blog`.`posts`\n", "### SET\n", f"###   @1={number} /* INT meta=0 nullable=0 is_null=0 */\n")
        yield "COMMIT/*!*/;\n"

    errant = GtidSet(MARIADB, {(0, 12): [(99, 99)]})
    (only,) = read(lines(), errant, len, None, lambda one, row: rows.append((one.gtid, row)))
    assert isinstance(only, Transaction) and only.changes == [] and len(rows) == 1000
    assert rows[-1] == ("0-12-99", Change("insert", "blog.posts", None, {"1": "999"}))


class Log:
    """A server with binary logs, and a tool that reads them: it notes what it was asked, and prints what is there."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch, prints: str, before: list[list[tuple[int, int, int]]], ends: str = "exit 0") -> None:
        self.paths = []
        for number, known in enumerate(before, 1):
            body = struct.pack("<I", len(known)) + b"".join(struct.pack("<IIQ", *one) for one in known)
            path = place / f"binlog.{number:06}"
            path.write_bytes(b"\xfebin" + struct.pack("<IBIIIH", 1, 163, 11, 19 + len(body), 0, 0) + body)
            self.paths.append(str(path))
        (place / "printed").write_text(prints, encoding="utf-8")
        tool = place / "mariadb-binlog"
        tool.write_text(f'#!/bin/sh\necho "$@" > {place}/asked\ncat {place}/printed\n{ends}\n', encoding="utf-8")
        tool.chmod(0o755)
        self.asked = place / "asked"
        monkeypatch.setenv("PATH", f"{place}:/usr/bin:/bin")

    def binlogs(self) -> list[str]:
        return self.paths

    def columns(self, schema: str, table: str) -> list[str]:
        return ["id"] if (schema, table) == ("blog", "extra") else []


def test_they_are_written_as_they_come_with_names_and_database(tmp_path, monkeypatch) -> None:
    log: Any = Log(tmp_path, monkeypatch, MARIADB_LOG, [[]])
    saved = save(log, GtidSet(MARIADB, {(0, 11): [(101, 102)]}), tmp_path / "errant")
    assert saved.transactions == 2
    told = json.loads((Path(saved.directory) / "transactions.json").read_text(encoding="utf-8"))
    assert [(one["gtid"], one["at"], one["database"]) for one in told] == [("0-11-101", "261121 12:04:34", ""), ("0-11-102", "261121 12:04:35", "")]
    assert told[0]["statements"] == ["CREATE TABLE extra (id INT PRIMARY KEY)"] and told[0]["changes"] == []
    assert told[1]["changes"] == [{"operation": "update", "table": "blog.extra", "before": {"id": "7"}, "after": {"id": "8"}}]
    assert [path.stat().st_mode & 0o777 for path in sorted(Path(saved.directory).iterdir())] == [0o600, 0o600]


@pytest.mark.parametrize(
    ("before", "first"),
    [
        ([[], [(0, 11, 98)], [(0, 11, 98), (0, 12, 99)], [(0, 11, 101), (0, 12, 99)]], 3),
        ([[(0, 11, 100), (0, 12, 99)], [(0, 11, 101), (0, 12, 99)]], 1),
    ],
    ids=["it begins before them", "an older one was purged"],
)
def test_no_file_is_read_that_holds_none_of_them(tmp_path, monkeypatch, before, first) -> None:
    """A number below the first one that is read was another server's, unless a file that held it was purged."""
    log: Any = Log(tmp_path, monkeypatch, MARIADB_LOG.replace("0-12-99", "0-11-101").replace("GTID 0-11-101 ddl", "GTID 0-11-103 ddl"), before)
    errant = GtidSet(MARIADB, {(0, 11): [(100, 103)]})
    if first == 1:
        with pytest.raises(OperationFailed, match=r"1 of 4 transactions are in no binary log any more: 0-11-100..100"):
            save(log, errant, tmp_path / "errant")
    else:
        assert save(log, errant, tmp_path / "errant").transactions == 3
    assert log.asked.read_text(encoding="utf-8").split()[2:] == log.paths[first - 1 :]


def test_reading_has_an_end_and_leaves_nothing_behind(tmp_path, monkeypatch) -> None:
    log: Any = Log(tmp_path, monkeypatch, MARIADB_LOG, [[]], ends="exec tail -f /dev/null")
    with pytest.raises(OperationFailed, match=r"were not read within 0.5 s.*-e discard=true"):
        save(log, GtidSet(MARIADB, {(0, 11): [(101, 102)]}), tmp_path / "errant", seconds=0.5)
    assert list((tmp_path / "errant").iterdir()) == []
