"""The role moves while everybody writes; where it cannot, everything is as it was."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pair
from pair import must, other, playbook, primary, sql, ssh


def test_nobody_notices_and_nothing_is_lost(tmp_path: Path) -> None:
    old = primary()
    new = other(old)
    sql(old, "CREATE DEFINER = 'blog'@'localhost' EVENT IF NOT EXISTS tandem_tick ON SCHEDULE EVERY 1 DAY DO DO 1", "blog")
    sql(old, "DROP EVENT IF EXISTS tandem_off; CREATE EVENT tandem_off ON SCHEDULE EVERY 1 DAY DISABLE DO DO 1", "blog")
    pair.wait("the events are on the replica", lambda: "SIDE_DISABLED" in event(new) and "SIDE_DISABLED" in event(new, "tandem_off"), 30)
    with pair.writing(old) as here, pair.writing(new) as there:
        done = must(playbook("switchover", confirm="yes", report_file=str(tmp_path / "report.json")))
    assert primary() == new
    assert (here.failed, there.failed) == ([], [])
    assert len(here.tokens) > 20
    pair.wait_until_whole()
    for node in pair.PAIR:
        assert not pair.missing(here, node) and not pair.missing(there, node)
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["result"] == "done"
    assert done.says(f"switchover of {old} to {new}: done")
    assert event(new) == "ENABLED\tblog@localhost"
    assert event(new, "tandem_off") == "DISABLED\troot@localhost"
    pair.wait("the old primary leaves the event to the new one", lambda: "SIDE_DISABLED" in event(old), 30)


def event(node: str, name: str = "tandem_tick") -> str:
    return sql(node, f"SELECT status, definer FROM information_schema.events WHERE event_name = '{name}'")


def test_the_plan_changes_nothing() -> None:
    before = pair.roles()
    argv, env = pair.playbook_command("switchover")
    done = subprocess.run([*argv, "--check"], env=env, cwd=pair.ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "planned" in done.stdout and "gate ok  replicates" in done.stdout
    assert pair.roles() == before


def test_twice_to_the_same_node_does_nothing() -> None:
    here = primary()
    before = pair.roles()
    must(playbook("switchover", confirm="yes", to=here))
    assert pair.roles() == before


def test_unanswered_it_does_nothing() -> None:
    before = pair.roles()
    done = playbook("switchover")
    assert done.status != 0 and done.says("say -e confirm=yes")
    assert pair.roles() == before


def test_an_unknown_node_is_refused() -> None:
    before = pair.roles()
    done = playbook("switchover", confirm="yes", to="server9")
    assert done.status != 0 and done.says("server9 is no node of this pair")
    assert pair.roles() == before


def test_a_stopped_sql_thread_is_refused() -> None:
    replica = other(primary())
    sql(replica, f"STOP {pair.REPLICA} SQL_THREAD")
    try:
        before = pair.roles()
        done = playbook("switchover", confirm="yes")
        assert done.status != 0 and done.says("replicates: found")
        with pair.writing(other(replica)):
            pair.pass_some_writes(other(replica))
        done = playbook("catchup")
        assert done.status != 0 and done.says(f"{replica} applies nothing and lacks"), done.text[-2000:]
        assert pair.roles() == before
    finally:
        sql(replica, f"START {pair.REPLICA} SQL_THREAD")


OPEN = """
import os, sys, time, pymysql
c = pymysql.connect(host="127.0.0.1", port=6446, user="blog", password=sys.stdin.readline().strip(), database="blog")
q = c.cursor()
q.execute("CREATE TABLE IF NOT EXISTS tandem_drill (token VARCHAR(40) PRIMARY KEY)")
c.begin()
q.execute("INSERT INTO tandem_drill VALUES (UUID())")
print("open", flush=True)
while not os.path.exists("/run/tandem-drill-stop"):
    time.sleep(0.1)
"""


def test_a_long_transaction_is_refused() -> None:
    # As an application: the administrator's own sessions are not looked at.
    old = primary()
    ssh(old, "rm -f /run/tandem-drill-stop; cat > /root/tandem-open.py", OPEN)
    holder = subprocess.Popen(
        pair.ssh_argv(old, "python3 /root/tandem-open.py"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None and holder.stdout is not None
    holder.stdin.write(pair.site_password() + "\n")
    holder.stdin.flush()
    assert holder.stdout.readline().strip() == "open"
    try:
        before = pair.roles()
        done = playbook("switchover", confirm="yes", max_transaction_seconds=0.5)
        assert done.status != 0 and done.says("no-long-transaction: found session")
        assert pair.roles() == before
    finally:
        ssh(old, "touch /run/tandem-drill-stop")
        holder.wait(30)


def test_over_its_budget_it_takes_everything_back() -> None:
    old = primary()
    before = pair.roles()
    with pair.writing(old) as written:
        done = playbook("switchover", confirm="yes", max_pause=0.001)
    assert done.status != 0
    assert done.says("Everything is as it was"), done.text[-3000:]
    assert written.failed == []
    assert pair.roles() == before


SLOW = """
import os, sys, time, pymysql
password = sys.stdin.readline().strip()
kept = []
while not os.path.exists("/run/tandem-drill-stop"):
    try:
        kept.append((time.monotonic(), pymysql.connect(host="127.0.0.1", port=6446, user="blog", password=password, connect_timeout=60)))
    except pymysql.err.MySQLError:
        pass
    while kept and kept[0][0] < time.monotonic() - 15:
        kept.pop(0)[1].close()
    time.sleep(0.4)
"""


def test_a_killed_engine_leaves_the_old_primary_open() -> None:
    """kill -9 while connections are held: each hand takes back what it did. Slow requests keep the drain waiting."""
    old = primary()
    ssh(old, "cat > /root/tandem-slow.py", SLOW)
    with pair.writing(old) as written:
        slow = subprocess.Popen(pair.ssh_argv(old, "python3 /root/tandem-slow.py"), stdin=subprocess.PIPE, text=True)
        assert slow.stdin is not None
        slow.stdin.write(pair.site_password() + "\n")
        slow.stdin.flush()
        argv, env = pair.playbook_command("switchover", confirm="yes", drain=7.5, max_pause=8)
        runner = subprocess.Popen(argv, env=env, cwd=pair.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        pair.wait("connections are held", lambda: '"do":"hold"' in _journal(old) and _events(old) != "end", 60)
        # The engine has no name of its own in the process table; it is the parent of this node's hand.
        assert ssh(old, "kill -9 $(ps -o ppid= -p $(pgrep -of '[t]andem_hand_main'))").status == 0
        runner.communicate(timeout=60)
        pair.wait("the operation is taken back on both nodes", lambda: _events(old) == "end" and _events(other(old)) == "end", 60)
    slow.wait(60)
    assert primary() == old
    assert written.failed == []


def test_a_killed_controller_leaves_a_finished_operation() -> None:
    old = primary()
    argv, env = pair.playbook_command("switchover", confirm="yes")
    runner = subprocess.Popen(argv, env=env, cwd=pair.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    before = _journal_name(old)
    pair.wait("the operation has begun", lambda: _journal_name(old) != before, 60)
    runner.kill()
    runner.wait()
    pair.wait("the operation has ended", lambda: _events(old) == "end" and _events(other(old)) == "end", 60)
    assert primary() in pair.PAIR


BETWEEN = """
import os, sys
sys.path.insert(0, "/usr/local/lib/tandem/operations")
from tandem_engine.hand.client import both
from tandem_engine.hand.config import HandConfig
from tandem_engine.operations.running import hands
with hands(HandConfig.load()) as (old, new):
    for hand in (old, new):
        hand.call("begin", operation="29991231T000000Z-drill", kind="switchover", old=old.name, new=new.name)
    limit = old.call("limit", server=old.name)
    both(old, new, "prepare_hold", limit=limit)
    both(old, new, "hold", server=old.name, limit=limit)
    new.call("wait_for", transactions=old.call("close")["executed"], seconds=20)
    old.call("commit")
    os._exit(9)
"""


def test_dead_between_the_two_commits_nobody_is_open_and_one_playbook_mends_it() -> None:
    """The old one may not open by itself any more, the new one not yet."""
    old = primary()
    assert ssh(old, "python3 -", BETWEEN).status == 9
    pair.wait("both nodes have recovered", lambda: _events(old) == "end" and _events(other(old)) == "end", 60)
    assert [pair.read_only(node) for node in pair.PAIR] == [True, True]
    must(playbook("database"))
    pair.wait_until_whole()
    with pair.writing(primary()) as written:
        pair.pass_some_writes(primary())
    assert written.failed == []
    for node in pair.PAIR:
        ssh(node, "rm -f /var/lib/tandem/journal/29991231*")


WAITS = """
import sys
sys.path.insert(0, "/usr/local/lib/tandem/operations")
from tandem_engine.hand.config import HandConfig
from tandem_engine.operations.running import hands
with hands(HandConfig.load()) as (old, new):
    for hand in (old, new):
        hand.call("begin", operation="29991231T000000Z-drill", kind="switchover", old=old.name, new=new.name)
    print("begun", flush=True)
    sys.stdin.read()
"""


def test_a_controller_that_vanishes_occupies_nobody() -> None:
    """Nothing is under way, so sshd has nothing to send whose answer it could miss."""
    old = primary()
    new = other(old)
    ssh(old, "cat > /root/tandem-waits.py", WAITS)
    engine = subprocess.Popen(pair.ssh_argv(old, "python3 /root/tandem-waits.py"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert engine.stdout is not None and engine.stdout.readline().strip() == "begun"
    try:
        assert _events(new) == "begin"
        # The node that is asked, not the one that asks: the line of this test to that one has to stay.
        pair.fault("cut", new, "inside")
        try:
            pair.wait("the other node is free", lambda: _events(new) == "end", 60)
        finally:
            pair.fault("heal", new, "inside")
    finally:
        engine.communicate(timeout=60)
    pair.wait("the operation has ended on both nodes", lambda: _events(old) == "end", 60)
    pair.wait_until_whole()
    for node in pair.PAIR:
        ssh(node, "rm -f /var/lib/tandem/journal/29991231*")


def _journal_name(node: str) -> str:
    return ssh(node, "ls /var/lib/tandem/journal 2>/dev/null | tail -n 1").text.strip()


def _journal(node: str) -> str:
    return ssh(node, "cat /var/lib/tandem/journal/$(ls /var/lib/tandem/journal | tail -n 1)").text


def _events(node: str) -> str:
    lines = [line for line in _journal(node).splitlines() if line.startswith("{")]
    return str(json.loads(lines[-1])["event"]) if lines else ""
