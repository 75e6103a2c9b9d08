"""What is kept: backups that bring a dropped table back, and updates that nobody notices."""

from __future__ import annotations

import disks
import pair
from pair import must, other, playbook, primary, sql, ssh


def last_transaction(node: str, statement: str) -> str:
    """Run it as the administrator; its GTID."""
    if pair.ENGINE == "mysql":
        before = own_transactions(node)
        sql(node, statement)
        after = own_transactions(node)
        assert after == before + 1, "somebody else wrote meanwhile"
        return f"{sql(node, 'SELECT @@server_uuid')}:{after}"
    return sql(node, f"{statement}; SELECT @@last_gtid").splitlines()[-1]


def own_transactions(node: str) -> int:
    """MySQL: the number of the newest transaction of this server."""
    uuid = sql(node, "SELECT @@server_uuid")
    text = sql(node, "SELECT REPLACE(@@global.gtid_executed, '\\n', '')").replace("\\n", "")
    own = next(part for part in text.replace(" ", "").split(",") if part.startswith(uuid))
    return int(own.rpartition("-")[2] if "-" in own.removeprefix(uuid) else own.rpartition(":")[2])


def test_a_dropped_table_comes_back() -> None:
    """Backup of the replica, a row later, DROP TABLE: the pair is brought to the moment before."""
    old = primary()
    sql(old, "CREATE TABLE IF NOT EXISTS blog.tandem_kept (id INT PRIMARY KEY); REPLACE INTO blog.tandem_kept VALUES (1)")
    pair.wait("it is on the replica", lambda: sql(other(old), "SELECT COUNT(*) FROM blog.tandem_kept") == "1", 30)
    must(playbook("backup", verify="quick"))
    newest = ssh(other(old), "ls -d /var/backups/tandem/2* | tail -n 1").text.strip()
    assert ssh(other(old), f"stat -c %a {newest}").text.strip() == "700"
    sql(old, "INSERT INTO blog.tandem_kept VALUES (2)")
    dropped = last_transaction(old, "DROP TABLE blog.tandem_kept")
    pair.wait("it is gone", lambda: sql(other(old), "SHOW TABLES LIKE 'tandem_kept'", "blog") == "", 30)
    before = pair.roles()
    done = must(playbook("restore"))
    assert "/var/backups/tandem" in done.text or newest.rpartition("/")[2] in done.text
    # A password that would be found wrong only when the primary is closed and its data replaced.
    done = playbook("restore", point=dropped, confirm="yes", tandem_secret_operator="not that one")
    assert done.status != 0 and done.says("Access denied") and done.says("Nothing was changed"), done.text[-2000:]
    assert "not that one" not in done.text
    assert pair.roles() == before
    must(playbook("restore", point=dropped, confirm="yes"))
    pair.wait_until_whole()
    for node in pair.PAIR:
        assert sql(node, "SELECT GROUP_CONCAT(id ORDER BY id) FROM blog.tandem_kept") == "1,2"
    sql(primary(), "DROP TABLE blog.tandem_kept")


# The copy of the backup has come to its disk, and is not there yet.
COPYING = {"mariadb": f"[ -s {disks.BACKUPS}/.work/made/data.mbstream.gz ]", "mysql": f"[ -d {disks.BACKUPS}/.work/copy/data/mysql ]"}


def test_a_disk_that_is_too_small_or_fills_holds_no_half_backup() -> None:
    replica = other(primary())
    with disks.of_backups(replica, 100) as disk:
        before = pair.roles()
        refused = playbook("backup", verify="quick", directory=disk.path)
        assert refused.status != 0 and refused.says("has 100 MiB free; the backup,"), refused.text[-2000:]
        assert disk.contents() == []
        disk.leave(4000)
        with disk.filling(COPYING[pair.ENGINE]):
            broken = playbook("backup", verify="quick", directory=disk.path)
        assert broken.status != 0 and broken.says(f"No backup of {replica} was made."), broken.text[-2000:]
        assert "Traceback" not in broken.text
        assert disk.contents() == [".lock"]
        assert pair.roles() == before


def test_both_nodes_are_updated_and_rebooted_and_nobody_loses_anything() -> None:
    old = primary()
    boots = {node: ssh(node, "systemctl show --property=UserspaceTimestampMonotonic --value").text for node in pair.PAIR}
    with pair.writing(other(old)) as written:
        pair.pass_some_writes(old)
    must(playbook("rolling_update", confirm="yes", upgrade="none", reboot="always"))
    pair.wait_until_whole()
    assert primary() == other(old)
    for node in pair.PAIR:
        assert not pair.missing(written, node)
        assert ssh(node, "systemctl show --property=UserspaceTimestampMonotonic --value").text != boots[node]
