# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What mariadb-binlog and mysqlbinlog print becomes transactions that a person can read."""

from __future__ import annotations

from ansible_collections.tandem.lemp.plugins.module_utils.errant import read
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
