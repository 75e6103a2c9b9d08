"""What stands in the way of a runbook is told in one error, and everything is as it was."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

import pair
import pytest
from pair import other, playbook, primary, sql, ssh

STARVE = """
import sys, time, os, pymysql
c = pymysql.connect(unix_socket="/run/mysqld/mysqld.sock", user="root", database="blog")
q = c.cursor()
q.execute("LOCK TABLES tandem_drill READ")
print("locked", flush=True)
while not os.path.exists("/run/tandem-drill-stop-lock"):
    time.sleep(0.1)
"""


@contextlib.contextmanager
def applying_nothing(replica: str) -> Iterator[None]:
    """A reader's lock keeps the replica from applying, while its threads run: it lags."""
    ssh(replica, "rm -f /run/tandem-drill-stop-lock; cat > /root/tandem-lock.py", STARVE)
    holder = subprocess.Popen(pair.ssh_argv(replica, "python3 /root/tandem-lock.py"), stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline().strip() == "locked"
    try:
        yield
    finally:
        ssh(replica, "touch /run/tandem-drill-stop-lock")
        holder.wait(30)


def test_a_replica_that_lags_is_not_switched_to() -> None:
    old = primary()
    with pair.writing(old) as written:
        pair.pass_some_writes(old)
    pair.wait("the table is on the replica", lambda: not pair.missing(written, other(old)), 30)
    with applying_nothing(other(old)):
        with pair.writing(old):
            pair.pass_some_writes(old)
        before = pair.roles()
        done = playbook("switchover", confirm="yes", max_transactions_behind=3)
        assert done.status != 0 and done.says("lag: found"), done.text[-2000:]
        assert pair.roles() == before


@pytest.mark.parametrize("name", ["catchup", "rejoin"])
def test_a_wrong_password_of_the_operator_is_named(name: str) -> None:
    before = pair.roles()
    done = playbook(name, tandem_secret_operator="wrong")
    assert done.status != 0 and done.says("Access denied"), done.text[-2000:]
    assert "wrong" not in done.text and "Traceback" not in done.text
    assert pair.roles() == before


def test_a_broken_replication_account_is_found_before_anything_is_done() -> None:
    """Its connection goes on, so nothing shows it: until the roles are to change."""
    old = primary()
    accounts = sql(old, "SELECT CONCAT(QUOTE(user), '@', QUOTE(host)) FROM mysql.user WHERE user LIKE 'tandem_repl%'").splitlines()
    sql(old, "".join(f"ALTER USER {account} IDENTIFIED BY 'something else 8';" for account in accounts))
    pair.wait("the replica has it too", lambda: _denied(old), 30)
    try:
        before = pair.roles()
        done = playbook("switchover", confirm="yes")
        assert done.status != 0 and done.says("Access denied") and done.says("accounts-"), done.text[-2000:]
        assert pair.roles() == before
    finally:
        pair.must(playbook("database"))
    pair.must(playbook("switchover", confirm="yes"))


def _denied(node: str) -> bool:
    """Whether this node's replication account is refused by its peer."""
    return "Access denied" in ssh(node, "/usr/local/sbin/tandem-hand", '{"do": "logins"}\n').text


def test_a_journal_that_cannot_be_written_stops_everything_before_it_begins() -> None:
    """No room on the disk of the node that would be the primary."""
    new = other(primary())
    assert ssh(new, "mount -t tmpfs -o size=8k none /var/lib/tandem/journal; cat /dev/zero > /var/lib/tandem/journal/fill; true").status == 0
    try:
        before = pair.roles()
        done = playbook("switchover", confirm="yes")
        assert done.status != 0 and done.says("journal") and done.says("cannot be written"), done.text[-2000:]
        assert pair.roles() == before
    finally:
        ssh(new, "umount /var/lib/tandem/journal")


def test_the_replicas_death_is_no_reason_to_switch() -> None:
    old = primary()
    lost = other(old)
    pair.fault("kill", lost)
    try:
        done = playbook("switchover", confirm="yes", to=lost)
        assert done.status != 0, done.text[-2000:]
        assert pair.read_only(old) is False
        with pair.writing(old) as written:
            pair.pass_some_writes(old)
        assert written.failed == []
    finally:
        pair.fault("start", lost)


def test_a_pause_that_would_refuse_clients_is_not_allowed() -> None:
    before = pair.roles()
    done = playbook("switchover", confirm="yes", max_pause=60)
    assert done.status != 0 and done.says("max-pause: found 60 s"), done.text[-2000:]
    assert pair.roles() == before


def test_what_the_replica_can_never_get_any_more_is_copied() -> None:
    """The primary has purged transactions that its replica lacks."""
    old = primary()
    replica = other(old)
    sql(replica, f"STOP {pair.REPLICA} IO_THREAD")
    with pair.writing(old) as written:
        pair.pass_some_writes(old)
    sql(old, "FLUSH BINARY LOGS")
    newest = sql(old, "SHOW BINARY LOGS").splitlines()[-1].split()[0]
    brake = "slave_connections_needed_for_purge"
    braked = sql(old, f"SHOW GLOBAL VARIABLES LIKE '{brake}'")  # MariaDB from 11.4 on: it keeps what nobody has fetched
    if braked:
        sql(old, f"SET GLOBAL {brake} = 0")
    # A log stays, without an error, while the thread that sent it is there, or the storage engine has not said that it needs it no more.
    pair.wait("the logs are gone", lambda: not sql(old, f"PURGE BINARY LOGS TO '{newest}'") and newest in sql(old, "SHOW BINARY LOGS").split()[0], 30)
    if braked:
        sql(old, f"SET GLOBAL {brake} = {braked.split()[1]}")
    sql(replica, f"START {pair.REPLICA} IO_THREAD")
    pair.wait("the replica has been told", lambda: "1236" in sql(replica, f"SHOW {pair.REPLICA} STATUS", "--vertical"), 30)
    before = pair.roles()
    done = playbook("switchover", confirm="yes")
    assert done.status != 0 and done.says("replicates: found"), done.text[-2000:]
    assert pair.roles() == before
    pair.must(playbook("rejoin", confirm="yes"))
    pair.wait_until_whole()
    assert primary() == old
    assert not pair.missing(written, replica)
