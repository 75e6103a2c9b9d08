# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which binary logs lead from a backup to a point in time, and what is lost there."""

from __future__ import annotations

import struct
import uuid

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.backup import archive
from ansible_collections.tandem.lemp.plugins.module_utils.backup.archive import LogFile
from ansible_collections.tandem.lemp.plugins.module_utils.backup.binlog import (
    BinlogError,
    Transaction,
    read_head,
    single,
    transactions,
)
from ansible_collections.tandem.lemp.plugins.module_utils.backup.replay import newest_of, plan_replay, point_of
from ansible_collections.tandem.lemp.plugins.module_utils.backup.restoring import jump
from ansible_collections.tandem.lemp.plugins.module_utils.errors import Refused
from ansible_collections.tandem.lemp.plugins.module_utils.gtid import MARIADB, MYSQL, GtidSet

T0 = 1795255200  # 2026-11-21 10:00:00 UTC
NOW = T0 + 10000
A = "3e11fa47-71ca-11e1-9e33-c80aa9429562"


class Binlog:
    """Writes a binary log as a server does."""

    def __init__(self, path):
        self.path = path
        path.write_bytes(b"\xfebin")

    def event(self, kind, when, body, server=11):
        size = 19 + len(body)
        end = self.path.stat().st_size + size
        with self.path.open("ab") as file:
            file.write(struct.pack("<IBIIIH", when, kind, server, size, end, 0) + body)
        return self

    def head(self, when, before=()):
        self.event(15, when, b"format")
        entries = b"".join(struct.pack("<IIQ", *entry) for entry in before)
        return self.event(163, when, struct.pack("<I", len(before)) + entries + b"crc.")

    def mysql_head(self, when, before=()):
        self.event(15, when, b"format")
        body = struct.pack("<Q", len(before))
        for name, intervals in before:
            body += uuid.UUID(name).bytes + struct.pack("<Q", len(intervals))
            body += b"".join(struct.pack("<QQ", first, last + 1) for first, last in intervals)
        return self.event(35, when, body + b"crc.")

    def transaction(self, sequence, when, server=11):
        self.event(162, when, struct.pack("<QIB", sequence, 0, 0), server)
        self.event(30, when, b"row")
        return self.event(16, when, b"xid")

    def mysql_transaction(self, number, when):
        self.event(33, when, b"\x00" + uuid.UUID(A).bytes + struct.pack("<Q", number))
        return self.event(16, when, b"xid")


def test_the_transactions_of_a_file_are_found(tmp_path):
    log = Binlog(tmp_path / "binlog.000002").head(T0, [(0, 11, 41), (0, 12, 7)]).transaction(42, T0 + 1).transaction(43, T0 + 2)
    head = read_head(log.path, MARIADB)
    assert (head.created, head.before) == (T0, "0-11-41,0-12-7")
    first, second = transactions(log.path, MARIADB)
    assert (first.gtid, first.when, first.end) == ("0-11-42", T0 + 1, second.start)
    assert (second.gtid, second.end) == ("0-11-43", log.path.stat().st_size)


def test_the_same_of_mysql(tmp_path):
    log = Binlog(tmp_path / "binlog.000002").mysql_head(T0, [(A, [(1, 5), (7, 7)])]).mysql_transaction(8, T0 + 1)
    assert GtidSet.parse(read_head(log.path, MYSQL).before, MYSQL) == GtidSet.parse(f"{A}:1-5:7", MYSQL)
    assert [one.gtid for one in transactions(log.path, MYSQL)] == [f"{A}:8"]


def test_a_transaction_that_is_cut_off_does_not_count(tmp_path):
    log = Binlog(tmp_path / "binlog.000001").head(T0).transaction(1, T0).transaction(2, T0)
    log.path.write_bytes(log.path.read_bytes()[:-5])
    assert [one.gtid for one in transactions(log.path, MARIADB)] == ["0-11-1"]


@pytest.mark.parametrize("data", [b"", b"not a log", b"\xfebin", b"\xfd\x62\x69\x6e" + b"x" * 100, b"\xfebin" + b"\0" * 40])
def test_what_is_no_binary_log_is_refused(tmp_path, data):
    path = tmp_path / "binlog.000001"
    path.write_bytes(data)
    with pytest.raises(BinlogError):
        read_head(path, MARIADB)


# From here on files are described, not written: number of the first transaction, one per second.


def series(*files):
    """LogFiles and a reader for them: each file is (begun at, before, sequence numbers)."""
    made, content = [], {}
    for number, (created, before, numbers) in enumerate(files, 1):
        name = f"binlog.{number:06}"
        made.append(LogFile(name, name, T0 + created, before, 100))
        content[name] = [Transaction(f"0-11-{one}", T0 + one, 100 * one, 100 * one + 100) for one in numbers]
    return made, lambda path, _engine: content[path.name]


THREE = (
    (0, "", range(1, 11)),
    (10, "0-11-10", range(11, 21)),
    (20, "0-11-20", range(21, 31)),
)


def replayed(have, until, files=THREE):
    made, read = series(*files)
    point = point_of(until, MARIADB, NOW)
    taken = T0 + int(have.rpartition("-")[2])
    return plan_replay(GtidSet.parse(have, MARIADB), made, point, taken, read)


def test_from_the_backup_to_just_before_a_time():
    plan = replayed("0-11-15", "2026-11-21 10:00:25")
    assert [one.name for one in plan.files] == ["binlog.000002", "binlog.000003"]
    assert (plan.start, plan.stop) == (1600, 2500)
    assert (plan.replayed.count, plan.lost.count, plan.gtid) == (9, 6, "0-11-24")


def test_to_just_before_a_transaction():
    plan = replayed("0-11-15", "0-11-18")
    assert (plan.start, plan.stop, plan.gtid, plan.lost.count) == (1600, 1800, "0-11-17", 13)


def test_a_point_on_the_seam_of_two_files_needs_no_part_of_the_second():
    plan = replayed("0-11-5", "0-11-21")
    assert ([one.name for one in plan.files], plan.stop) == (["binlog.000001", "binlog.000002"], None)


def test_to_the_end_loses_nothing():
    plan = replayed("0-11-15", "latest")
    assert (plan.replayed.count, plan.lost.count, plan.stop, plan.gtid) == (15, 0, None, "0-11-30")


def test_the_backup_alone_replays_nothing_and_says_what_is_lost():
    plan = replayed("0-11-15", "")
    assert (plan.files, plan.replayed.count, plan.lost.count, plan.gtid) == ([], 0, 15, "0-11-15")


def test_a_point_right_after_the_backup_replays_nothing():
    plan = replayed("0-11-15", "0-11-16")
    assert (plan.files, plan.lost.count) == ([], 15)


def test_an_unknown_transaction_is_refused():
    with pytest.raises(Refused, match="in no binary log"):
        replayed("0-11-15", "0-11-99")


@pytest.mark.parametrize("until", ["latest", "2026-11-21 10:00:25"])
def test_a_gap_before_the_point_is_refused(until):
    with pytest.raises(Refused, match="in no binary log"):
        replayed("0-11-5", until, (THREE[0], THREE[2]))


def test_a_gap_after_the_point_does_not_matter():
    assert replayed("0-11-5", "2026-11-21 10:00:08", (THREE[0], THREE[2])).gtid == "0-11-7"
    assert replayed("0-11-5", "0-11-8", (THREE[0], THREE[2])).gtid == "0-11-7"


@pytest.mark.parametrize("engine", [MARIADB, MYSQL])
@pytest.mark.parametrize("numbers", [(21, 30), (21, 20)], ids=["written", "not yet written"])
def test_a_gap_that_the_point_may_lie_in_is_refused(engine, numbers):
    """Replication broke at 10 and the server was copied anew at 20: 11 to 20 are in no file, the point is between."""
    first, last = numbers
    for before in {MARIADB: ("0-11-20",), MYSQL: (f"{A}:1-20", "")}[engine]:
        with pytest.raises(Refused, match="in no binary log"):
            copied_anew(engine, before, "2026-11-21 10:00:15", range(first, last + 1))
        assert copied_anew(engine, before, "2026-11-21 10:00:08", range(first, last + 1)).replayed.count == 2


def test_a_copy_that_goes_on_where_the_old_files_end_is_no_gap():
    assert copied_anew(MYSQL, "", "2026-11-21 10:00:15", range(11, 31), when=20).replayed.count == 5
    assert copied_anew(MYSQL, "", "2026-11-21 10:00:15", range(10, 31), when=20).replayed.count == 5


def test_a_copy_whose_first_transaction_is_the_servers_own_tells_nothing_of_what_it_held():
    other = "22222222-2222-2222-2222-222222222222"
    with pytest.raises(Refused, match="in no binary log"):
        copied_anew(MYSQL, "", "2026-11-21 10:00:15", range(1, 3), name=other, when=20)


def copied_anew(engine, before, until, numbers, name=A, when=0):
    """A file up to 10, and one of a copy that was begun at 20; the backup holds 5."""
    one, have = ("0-11-{}", "0-11-5") if engine == MARIADB else (name + ":{}", f"{A}:1-5")
    old = "0-11-{}" if engine == MARIADB else A + ":{}"
    made = [LogFile("binlog.000001", "binlog.000001", T0, "", 100), LogFile("binlog.000009", "binlog.000009", T0 + 20, before, 100)]
    content = {
        "binlog.000001": [Transaction(old.format(each), T0 + each, each, each + 1) for each in range(1, 11)],
        "binlog.000009": [Transaction(one.format(each), T0 + max(each, when), each, each + 1) for each in numbers],
    }
    return plan_replay(GtidSet.parse(have, engine), made, point_of(until, engine, NOW), T0 + 5, lambda path, _engine: content[path.name])


def test_binary_logs_that_begin_too_late_are_refused():
    with pytest.raises(Refused, match="reaches back"):
        replayed("0-11-5", "latest", THREE[1:])


def test_a_history_that_a_restore_ended_cannot_be_walked_past():
    after = (40, "0-11-1000030", range(1000031, 1000033))
    with pytest.raises(Refused, match="changed by a restore"):
        replayed("0-11-5", "2026-11-21 10:01:00", (*THREE, after))
    plan = replayed("0-11-5", "0-11-8", (*THREE, after))
    assert (plan.gtid, plan.lost.count) == ("0-11-7", 25)


# A backup of one node with its binary logs, put on the other node: both servers' files say the same, cut at other places.
# (whose, begun at, numbers of all transactions in it); the other node's archive was fetched when it had come to 25.
TWO_NODES = ((12, 0, 1, 10), (11, 4, 5, 14), (12, 10, 11, 20), (11, 14, 15, 24), (12, 20, 21, 25), (11, 24, 25, 34), (11, 34, 35, 37))


def of_two_nodes(engine, have, until, portions=TWO_NODES, extra=None, other=None):
    """extra: more transactions at the end of a portion, by its number."""
    made, content = [], {}
    one = "0-11-{}" if engine == MARIADB else A + ":{}"
    for number, (server, begun, first, last) in enumerate(portions):
        name = f"binlog.{number:06}"
        before = "" if first == 1 else one.format(first - 1) if engine == MARIADB else f"{A}:1-{first - 1}"
        made.append(LogFile(name, name, T0 + begun, before, 100, server=server))
        told = [(one.format(each), T0 + each) for each in range(first, last + 1)] + (extra or {}).get(number, [])
        content[name] = [Transaction(gtid, when, 100 + at, 101 + at) for at, (gtid, when) in enumerate(told)]
    has = GtidSet.parse(one.format(have) if engine == MARIADB else f"{A}:1-{have}", engine)
    plan = plan_replay(has, made, point_of(until, engine, NOW), T0 + have, lambda path, _engine: content[path.name], other)
    fed = [each.gtid for file in plan.files for each in content[file.name] if file is not plan.files[0] or each.start >= plan.start]
    return plan, [each.rpartition("-" if engine == MARIADB else ":")[2] for each in fed]


@pytest.mark.parametrize("engine", [MARIADB, MYSQL])
@pytest.mark.parametrize("have", [2, 7, 12, 15, 22, 24])
def test_where_the_logs_of_both_nodes_overlap_each_transaction_comes_once(engine, have):
    portions = ((11, -9, 1, 4), *TWO_NODES)
    plan, fed = of_two_nodes(engine, have, "latest", portions)
    assert fed == [str(number) for number in range(have + 1, 38)]
    assert (plan.replayed.count, plan.lost.count) == (37 - have, 0)
    plan, _fed = of_two_nodes(engine, have, "2026-11-21 10:00:25", portions)
    assert (plan.replayed.count, plan.lost.count) == (24 - have, 13)
    assert of_two_nodes(engine, have, "", portions)[0].lost.count == 37 - have


@pytest.mark.parametrize("engine", [MARIADB, MYSQL])
def test_an_overlap_does_not_hide_a_gap(engine):
    """Nobody has 26 to 34, or the file begins after them."""
    for lacking in (TWO_NODES[:5] + TWO_NODES[6:], (*TWO_NODES[:5], (11, 34, 35, 37), (11, 37, 38, 38))):
        for until in ("latest", "2026-11-21 10:00:35"):
            with pytest.raises(Refused, match="in no binary log"):
                of_two_nodes(engine, 12, until, lacking)
        assert of_two_nodes(engine, 12, "2026-11-21 10:00:24", lacking)[0].replayed.count == 11


@pytest.mark.parametrize("engine", [MARIADB, MYSQL])
def test_a_log_of_one_node_that_ends_early_is_not_taken_for_the_end(engine):
    """Also where the other node's file was begun before the one that the backup is in."""
    with pytest.raises(Refused, match="in no binary log"):
        of_two_nodes(engine, 7, "latest", ((12, 0, 1, 10), (11, 8, 9, 20)))
    assert of_two_nodes(engine, 9, "latest", ((11, 0, 1, 20), (12, 4, 5, 10)))[0].replayed.count == 11


@pytest.mark.parametrize(("engine", "gtid"), [(MARIADB, "0-12-11"), (MYSQL, "22222222-2222-2222-2222-222222222222:1")])
def test_what_only_one_node_has_is_not_left_out_silently(engine, gtid):
    portions = ((11, 0, 1, 20), (12, 4, 5, 10))
    with pytest.raises(Refused, match="in no binary log"):
        of_two_nodes(engine, 7, "latest", portions, {1: [(gtid, T0 + 11)]})
    assert of_two_nodes(engine, 7, "2026-11-21 10:00:15", portions, {1: [(gtid, T0 + 11)]})[0].lost.count == 7


def test_a_server_that_was_copied_while_the_backup_was_made_does_not_hide_a_gap():
    """Its first file lists nothing, and what came between the backup's data and that copy is in no file."""
    copied = LogFile("binlog.000001", "binlog.000001", T0 + 30, "", 100, server=11)
    later = [Transaction(f"{A}:{one}", T0 + one, one, one + 1) for one in range(31, 35)]
    for have, taken in ((20, 40), (29, 30)):
        with pytest.raises(Refused, match="reaches back"):
            plan_replay(GtidSet.parse(f"{A}:1-{have}", MYSQL), [copied], point_of("latest", MYSQL, NOW), T0 + taken, lambda *_file: later)
    plan = plan_replay(GtidSet.parse(f"{A}:1-30", MYSQL), [copied], point_of("latest", MYSQL, NOW), T0 + 40, lambda *_file: later)
    assert plan.replayed.count == 4


def test_numbers_that_began_anew_are_no_overlap():
    """An empty server of MariaDB numbers like the one whose backup it is to get."""
    with pytest.raises(Refused, match="changed by a restore"):
        of_two_nodes(MARIADB, 7, "latest", ((12, 0, 1, 10), (11, 50, 1, 3)))
    assert of_two_nodes(MARIADB, 7, "2026-11-21 10:00:30", ((12, 0, 1, 10), (11, 50, 1, 3)))[0].replayed.count == 3


def test_a_server_whose_number_was_changed_goes_on_where_it_was():
    plan, fed = of_two_nodes(MARIADB, 7, "latest", ((11, 0, 1, 10), (21, 10, 11, 20)))
    assert (fed[-1], plan.replayed.count) == ("20", 13)


@pytest.mark.parametrize("engine", [MARIADB, MYSQL])
@pytest.mark.parametrize(("until", "known", "passed"), [("10:00:15", 37, True), ("10:00:15", 15, True), ("10:00:15", 14, False), ("10:00:40", 50, False)])
def test_whether_the_other_server_has_what_comes_after_the_point(engine, until, known, passed):
    other = GtidSet.parse(f"0-11-{known}" if engine == MARIADB else f"{A}:1-{known}", engine)
    portions = ((11, -9, 1, 4), *TWO_NODES)
    assert of_two_nodes(engine, 7, f"2026-11-21 {until}", portions, other=other)[0].passed is passed


def test_what_only_this_server_has_does_not_tell_that_nothing_before_the_point_is_lacking():
    """Replication broke at 8; an administrator wrote here at 30."""
    other = GtidSet.parse("0-11-20", MARIADB)
    plan, _fed = of_two_nodes(MARIADB, 5, "2026-11-21 10:00:15", ((12, 0, 1, 8),), {0: [("0-12-9", T0 + 30)]}, other)
    assert (plan.replayed.count, plan.passed) == (3, False)


def test_mysql_starts_at_the_first_transaction_it_lacks():
    log = LogFile("binlog.000001", "binlog.000001", T0, "", 100)
    content = [Transaction(f"{A}:{one}", T0 + one, 100 * one, 100 * one + 100) for one in (1, 2, 4, 3, 5)]
    have = GtidSet.parse(f"{A}:1-2:4", MYSQL)
    plan = plan_replay(have, [log], point_of(f"{A}:5", MYSQL, NOW), T0 + 4, lambda _path, _engine: content)
    assert (plan.start, plan.stop, plan.gtid, plan.replayed.count) == (300, 500, f"{A}:1-4", 1)


def mysql_begun_anew():
    """A server that was copied from another one after its first file: its new binary log begins with nothing before it."""
    logs = [LogFile(f"binlog.{number:06}", f"binlog.{number:06}", T0 + begun, "", 100) for number, begun in ((1, 0), (2, 50))]
    numbers = {"binlog.000001": range(1, 11), "binlog.000002": range(60, 63)}

    def read(path, _engine):
        return [Transaction(f"{A}:{one}", T0 + one, 100 * one, 100 * one + 100) for one in numbers[path.name]]

    return logs, read


@pytest.mark.parametrize(("until", "gtid"), [("2026-11-21 10:00:08", f"{A}:1-7"), (f"{A}:9", f"{A}:1-8")])
def test_a_file_that_needs_nothing_is_not_taken_for_the_one_after_the_backup(until, gtid):
    logs, read = mysql_begun_anew()
    plan = plan_replay(GtidSet.parse(f"{A}:1-5", MYSQL), logs, point_of(until, MYSQL, NOW), T0 + 5, read)
    assert ([one.name for one in plan.files], plan.gtid) == (["binlog.000001"], gtid)


@pytest.mark.parametrize("until", ["latest", "2026-11-21 10:01:01", f"{A}:61"])
def test_a_binary_log_that_was_begun_anew_is_not_replayed_on_top_of_the_old_one(until):
    logs, read = mysql_begun_anew()
    with pytest.raises(Refused, match="changed by a restore"):
        plan_replay(GtidSet.parse(f"{A}:1-5", MYSQL), logs, point_of(until, MYSQL, NOW), T0 + 5, read)


@pytest.mark.parametrize(
    ("text", "time"),
    [("2026-11-21 10:00:00", T0), ("2026-11-21T10:00:00Z", T0), ("2026-11-21 11:00:00+0100", T0), ("2026-11-21 11:00:00+01:00", T0)],
)
def test_times_are_utc_unless_they_say_otherwise(text, time):
    assert point_of(text, MARIADB, NOW).time == time


@pytest.mark.parametrize("text", ["tomorrow", "10:00", "0-11-1,0-11-2", "2027-01-01 00:00:00"])
def test_other_points_are_refused(text):
    with pytest.raises(Refused):
        point_of(text, MARIADB, NOW)


def test_one_transaction_is_one():
    assert single("0-11-42", MARIADB).count() == 1
    assert single(f"{A}:42", MYSQL).count() == 1


def test_the_archive_keeps_two_files_of_one_name_and_copies_each_once(tmp_path):
    first = Binlog(tmp_path / "binlog.000001").head(T0).transaction(1, T0)
    kept = archive.keep(archive.live([str(first.path)], MARIADB)[0], tmp_path / "kept")
    archive.require_whole(kept)
    again = archive.live([str(first.path)], MARIADB)
    assert archive.missing(again, archive.archived(tmp_path / "kept")) == []
    second = Binlog(tmp_path / "binlog.000001").head(T0 + 60).transaction(1, T0 + 60)
    fresh = archive.live([str(second.path)], MARIADB)
    assert archive.missing(fresh, archive.archived(tmp_path / "kept")) == fresh
    archive.keep(fresh[0], tmp_path / "kept")
    assert [one.created for one in archive.archived(tmp_path / "kept")] == [T0, T0 + 60]


def test_an_archived_file_that_changed_is_noticed(tmp_path):
    log = Binlog(tmp_path / "binlog.000001").head(T0).transaction(1, T0)
    kept = archive.keep(archive.live([str(log.path)], MARIADB)[0], tmp_path / "kept")
    with open(kept.path, "ab") as file:
        file.write(b"more")
    with pytest.raises(BinlogError, match="damaged"):
        archive.require_whole(kept)


def test_a_half_copied_file_does_not_count(tmp_path):
    log = Binlog(tmp_path / "binlog.000001").head(T0).transaction(1, T0)
    kept = archive.keep(archive.live([str(log.path)], MARIADB)[0], tmp_path / "kept")
    (tmp_path / "kept" / f"{kept.stored_as}.json").unlink()
    (tmp_path / "kept" / ".partial").touch()
    assert archive.archived(tmp_path / "kept") == []
    archive.clear_partial(tmp_path / "kept")
    assert not (tmp_path / "kept" / ".partial").exists()


def test_when_the_newest_transaction_of_a_backup_was_written(tmp_path):
    """Of those that it holds, by the clock of the writer: which may have been ahead, or set back."""
    first = Binlog(tmp_path / "binlog.000001").head(T0).transaction(1, T0 + 1).transaction(2, T0 + 9).transaction(3, T0 + 3)
    second = Binlog(tmp_path / "binlog.000002").head(T0 + 4, [(0, 11, 3)]).transaction(4, T0 + 20).transaction(5, T0 + 21)
    logs = [str(first.path), str(second.path)]
    assert [newest_of(GtidSet.parse(f"0-11-{have}", MARIADB), logs) for have in (1, 2, 3, 4, 5)] == [T0 + each for each in (1, 9, 9, 20, 21)]
    assert newest_of(GtidSet.parse("0-11-3", MARIADB), logs[1:]) == 0
    assert newest_of(GtidSet(MARIADB), logs) == 0


def test_only_files_before_the_oldest_backup_may_go():
    made, _read = series(*THREE)
    assert archive.outdated(made, T0 + 15) == made[:1]
    assert archive.outdated(made, T0) == []
    assert archive.outdated(made, T0 + 99) == made[:2]


# Begun at 0, 10 and 20; then the clock was set back to -40, and the last one was begun when it had come to 25 again.
SET_BACK = ((0, 1, 10), (10, 11, 20), (20, 21, 30), (-40, 31, 40), (-30, 41, 45), (25, 46, 50))


def set_back(engine, first=1):
    """Files of a server, as the archive may hold them: by their moments."""
    one = "0-11-{}" if engine == MARIADB else A + ":1-{}"
    names = [f"binlog.{number:06}" for number in range(first, first + len(SET_BACK))]
    made = [
        LogFile(name, name, T0 + begun, "" if start == 1 else one.format(start - 1), 100, server=11)
        for name, (begun, start, _end) in zip(names, SET_BACK, strict=True)
    ]
    return sorted(made, key=lambda file: file.created), names


@pytest.mark.parametrize("engine", [MARIADB, MYSQL])
@pytest.mark.parametrize("first", [1, 999_997])
def test_a_clock_that_was_set_back_does_not_put_files_before_those_they_go_on_from(engine, first):
    files, names = set_back(engine, first)
    assert [one.name for one in archive.in_order(files)] == names
    assert [one.name for one in archive.merged(files[:3], files)] == names
    one = "0-11-{}" if engine == MARIADB else A + ":{}"
    content = {
        name: [Transaction(one.format(each), T0 + begun + each - start, each, each + 1) for each in range(start, end + 1)]
        for name, (begun, start, end) in zip(names, SET_BACK, strict=True)
    }
    have = GtidSet.parse("0-11-5" if engine == MARIADB else f"{A}:1-5", engine)
    plan = plan_replay(have, archive.in_order(files), point_of("latest", engine, NOW), T0 + 5, lambda path, _engine: content[path.name])
    assert (plan.replayed.count, plan.lost.count) == (45, 0)


@pytest.mark.parametrize("engine", [MARIADB, MYSQL])
def test_nor_does_it_remove_what_a_backup_needs(engine):
    files, names = set_back(engine)
    assert [one.name for one in archive.outdated(files, T0 + 15)] == names[:1]
    assert [one.name for one in archive.outdated(files, T0 + 22)] == names[:2]
    assert [one.name for one in archive.outdated(files, T0 + 26)] == names[:5]
    assert archive.outdated(files, T0 - 35) == []


@pytest.mark.parametrize("listed", [(f"{A}:1-50", ""), (f"{A}:1-50", f"{A}:60-70"), ("0-11-50", "0-11-60"), ("0-11-50,0-12-3", "0-11-60,0-12-9")])
def test_names_that_began_anew_are_told_by_their_moments(listed):
    old, new = listed
    files = [LogFile("b", f"binlog.{number:06}", T0 + at, before, 1, server=11) for number, at, before in ((6, 0, old), (5, 50, new), (6, 60, new))]
    assert archive.in_order(reversed(files)) == files


def test_a_file_of_the_other_server_is_no_successor():
    made = [LogFile(str(begun), str(begun), T0 + begun, "", 1, server=server) for begun, server in ((0, 12), (10, 11), (30, 12), (40, 11))]
    assert archive.outdated(made, T0 + 20) == []
    assert archive.outdated(made, T0 + 35) == made[:1]


def test_the_archive_knows_whose_files_they_are(tmp_path):
    log = Binlog(tmp_path / "binlog.000001").head(T0).transaction(1, T0)
    archive.keep(archive.live([str(log.path)], MARIADB)[0], tmp_path / "kept")
    assert [one.server for one in archive.archived(tmp_path / "kept")] == [11]
    (told,) = (tmp_path / "kept").glob("*.json")
    told.write_text(told.read_text(encoding="utf-8").replace('"server": 11', '"size": 1'), encoding="utf-8")
    assert [one.server for one in archive.archived(tmp_path / "kept")] == [11]


def test_after_a_restore_no_number_is_used_twice_and_whoever_was_away_is_told():
    history = GtidSet.parse("0-11-500,0-12-300", MARIADB)
    after = history | jump(history, MARIADB, 12, "")
    assert history <= after
    assert after.position() == "0-12-1000500"
    assert after.newest_last().endswith("0-12-1000500")
    assert (history | jump(history, MARIADB, 11, "")).newest_last().endswith("0-11-1000500")
    mysql = GtidSet.parse(f"{A}:1-500", MYSQL)
    assert str(mysql | jump(mysql, MYSQL, 12, A)) == f"{A}:1-1000500"
