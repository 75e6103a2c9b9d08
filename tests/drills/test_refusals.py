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


@pytest.mark.parametrize("name", ["switchover", "failback", "rejoin", "catchup"])
def test_a_wrong_password_changes_nothing(name: str) -> None:
    """Where the password is needed it is named; where it is not, the right thing is done without it."""
    before = pair.roles()
    done = playbook(name, confirm="yes", to=primary(), tandem_secret_operator="wrong", tandem_secret_replication="wrong")
    if done.status != 0:
        assert "Access denied" in done.text or "access" in done.text, done.text[-2000:]
    assert "Traceback" not in done.text
    assert pair.roles() == before


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
    sql(old, f"PURGE BINARY LOGS TO '{newest}'")
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
