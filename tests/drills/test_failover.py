"""A primary is lost, the survivor takes its role; what was lost comes back as the replica, and home if wanted."""

from __future__ import annotations

import json

import disks
import pair
import pytest
from pair import must, other, playbook, primary, sql, ssh

SAVED = "ls -d /var/lib/tandem/errant/*"


def test_a_lost_node_is_followed_by_the_survivor_and_comes_home() -> None:
    """Power off: everything acknowledged is on the survivor, which takes writes; back again, it rejoins; failback."""
    old = primary()
    new = other(old)
    with pair.writing(old) as written:
        pair.pass_some_writes(old)
    pair.fault("kill", old)
    try:
        silent = playbook("failover", confirm="yes")
        assert silent.status != 0 and silent.says("old-is-dead"), silent.text[-2000:]
        assert pair.read_only(new) is True
        done = must(playbook("failover", confirm="yes", peer_is="dead"))
        assert done.says(f"failover of {old} to {new}: done")
        assert pair.read_only(new) is False
        assert not pair.missing(written, new)
        with pair.writing(new) as after:
            pair.pass_some_writes(new)
        assert after.failed == [] and after.tokens
    finally:
        pair.fault("start", old)
    pair.wait("the old primary answers", lambda: pair.read_only(old) is not None)
    assert pair.read_only(old) is True
    must(playbook("rejoin"))
    pair.wait_until_whole()
    assert primary() == new
    assert not pair.missing(written, old) and not pair.missing(after, old)
    must(playbook("failback", confirm="yes", to=old))
    assert primary() == old


def test_failover_of_a_healthy_primary_is_refused() -> None:
    before = pair.roles()
    done = playbook("failover", confirm="yes")
    assert done.status != 0 and done.says("switchover"), done.text[-2000:]
    assert pair.roles() == before


def roles_of_databases() -> dict[str, tuple[object, ...]]:
    """Without the addresses: they leave a node whose database has died by themselves, and it may be now."""
    return {node: (closed, source, limits) for node, (closed, source, _addresses, limits) in pair.roles().items()}


def test_what_only_the_dead_database_has_is_rescued() -> None:
    """The replica was behind when the database died, and its host lives: nothing is lost. Nor is what it received and did not apply."""
    old = primary()
    new = other(old)
    sql(new, f"STOP {pair.REPLICA} SQL_THREAD")
    with pair.writing(old) as written:
        pair.pass_some_writes(old)
        sql(new, f"STOP {pair.REPLICA} IO_THREAD")
        pair.pass_some_writes(old)
    assert pair.missing(written, new)
    ssh(old, f"systemctl mask --runtime --now {pair.ENGINE}; systemctl kill --signal=KILL {pair.ENGINE}")
    try:
        before = roles_of_databases()
        stuck = playbook("failover", confirm="yes")
        assert stuck.status != 0 and stuck.says("relay-log: found") and stuck.says("START"), stuck.text[-2000:]
        assert roles_of_databases() == before
        sql(new, f"START {pair.REPLICA} SQL_THREAD")
        must(playbook("failover", confirm="yes"))
        assert pair.read_only(new) is False
        assert not pair.missing(written, new)
    finally:
        ssh(old, f"systemctl unmask --runtime {pair.ENGINE}")
    must(playbook("rejoin"))
    pair.wait_until_whole()
    assert not pair.missing(written, old)


# The copy has come to the disk of its own that the drill gave it, and is not there yet.
COPYING = {
    "mariadb": f"[ $(du -sm {disks.DATA}/.tandem/seed 2>/dev/null | cut -f 1 || echo 0) -gt 4 ]",
    "mysql": f"[ -e {disks.DATA}/#clone/#old_files ]",
}


def test_errant_transactions_are_saved_before_they_are_replaced_and_a_full_disk_replaces_nothing() -> None:
    replica = other(primary())
    with disks.of_data(replica) as disk:
        replaced_by_a_copy(replica, disk)


def replaced_by_a_copy(replica: str, disk: disks.Disk) -> None:
    sql(replica, "SET GLOBAL read_only = 0; CREATE TABLE IF NOT EXISTS tandem_errant (id INT PRIMARY KEY, what VARCHAR(20));"
                 " INSERT INTO tandem_errant VALUES (7, 'only here')", "blog")  # fmt: skip
    sql(replica, "SET GLOBAL read_only = 1" + ("; SET GLOBAL super_read_only = 1" if pair.ENGINE == "mysql" else ""))
    unasked = playbook("rejoin")
    assert unasked.status != 0 and unasked.says("say -e confirm=yes")
    assert sql(replica, "SELECT what FROM tandem_errant", "blog") == "only here"
    disk.leave(100)
    before, saved_before = pair.roles(), ssh(replica, SAVED).text
    refused = playbook("switchover", confirm="yes")
    assert refused.status != 0 and refused.says("no-errant") and refused.says("disk: found 100 MiB free"), refused.text[-2000:]
    refused = playbook("rejoin", confirm="yes", discard=True)
    assert refused.status != 0 and refused.says("has 100 MiB free; the copy needs"), refused.text[-2000:]
    assert (pair.roles(), ssh(replica, SAVED).text) == (before, saved_before)
    assert sql(replica, "SELECT what FROM tandem_errant", "blog") == "only here"
    disk.leave(2000)
    with disk.filling(COPYING[pair.ENGINE]):
        broken = playbook("rejoin", confirm="yes")
    assert broken.status != 0 and "Traceback" not in broken.text, broken.text[-2000:]
    if pair.ENGINE == "mariadb":
        # CLONE has no room beside the old data: it has given them up by now.
        assert broken.says(f"The disk of {disks.DATA} is full"), broken.text[-2000:]
        assert ".tandem" not in disk.contents()
        assert sql(replica, "SELECT what FROM tandem_errant", "blog") == "only here"
    disk.leave(2000)
    must(playbook("rejoin", confirm="yes"))
    pair.wait_until_whole()
    assert sql(replica, "SHOW TABLES LIKE 'tandem_errant'", "blog") == ""
    newest = ssh(replica, SAVED).text.split()[-1]
    saved = json.loads(ssh(replica, f"cat {newest}/transactions.json").text)
    rows = [change["after"] for transaction in saved for change in transaction["changes"]]
    assert {"id": "7", "what": "'only here'"} in rows
    assert "BINLOG" in ssh(replica, f"cat {newest}/transactions.sql").text
    assert ssh(replica, f"stat -c %a {newest} {newest}/transactions.sql {newest}/transactions.json").text.split() == ["700", "600", "600"]


def test_rejoin_of_a_whole_pair_does_nothing() -> None:
    before = pair.roles()
    done = must(playbook("rejoin"))
    assert done.says("nothing to do")
    assert pair.roles() == before


def test_fence_keeps_applications_out_and_unfence_lets_them_in() -> None:
    old = primary()
    must(playbook("fence", node=old, confirm="yes"))
    assert pair.read_only(old) is True
    must(playbook("fence", node=old, confirm="yes"))
    must(playbook("unfence", node=old, confirm="yes"))
    assert primary() == old


@pytest.mark.parametrize("name", ["check", "catchup", "sync_files"])
def test_what_only_looks_finds_a_whole_pair(name: str) -> None:
    must(playbook(name, fail_on="fail") if name == "check" else playbook(name))
