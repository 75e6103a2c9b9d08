# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Binary logs made of bytes. What a crash leaves at the end of one must never count as a transaction."""

from __future__ import annotations

import stat
import struct
import uuid
from pathlib import Path

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.errors import OperationFailed, Refused
from ansible_collections.tandem.lemp.plugins.module_utils.gtid import MARIADB, MYSQL, GtidSet
from ansible_collections.tandem.lemp.plugins.module_utils.hand import rescue

QUERY, ROTATE, FORMAT, XID, ROWS, PAYLOAD = 2, 4, 15, 16, 23, 40
SOURCE = "11111111-2222-3333-4444-555555555555"


def event(kind: int, body: bytes, server: int = 1) -> bytes:
    return struct.pack("<IBIIIH", 0, kind, server, 19 + len(body) + 4, 0, 0) + body + b"crc!"


def gtid(number: int, server: int = 1, domain: int = 0) -> bytes:
    return event(162, struct.pack("<QIB", number, domain, 0), server)


def mysql_gtid(number: int) -> bytes:
    return event(33, b"\x01" + uuid.UUID(SOURCE).bytes + struct.pack("<q", number))


def query(text: bytes) -> bytes:
    return event(QUERY, b"\x00" * 13 + b"db\x00" + text)


def transaction(number: int, server: int = 1) -> bytes:
    return gtid(number, server) + event(ROWS, b"r" * 40) + event(XID, b"x" * 8)


def history(*entries: tuple[int, int, int]) -> bytes:
    return event(163, struct.pack("<I", len(entries)) + b"".join(struct.pack("<IIQ", *entry) for entry in entries))


class Directory:
    def __init__(self, path: Path, engine: str) -> None:
        self.path = path
        self.log = rescue.BinaryLog(str(path), engine)
        self.names: list[str] = []

    def add(self, *events: bytes) -> Path:
        self.names.append(f"./binlog.{len(self.names) + 1:06d}")
        (self.path / "binlog.index").write_text("".join(f"{name}\n" for name in self.names))
        (self.path / "relaylog.index").write_text("./relaylog.000001\n")
        file = self.path / self.names[-1]
        file.write_bytes(b"\xfebin" + event(FORMAT, b"f" * 80) + b"".join(events))
        return file


@pytest.fixture
def maria(tmp_path: Path) -> Directory:
    return Directory(tmp_path, MARIADB)


def known(text: str, flavor: str = MARIADB) -> GtidSet:
    return GtidSet.parse(text, flavor)


def test_what_was_executed_is_the_history_and_the_file(maria) -> None:
    maria.add(history(), transaction(1), transaction(2), event(ROTATE, b"next"))
    maria.add(history((0, 1, 2), (0, 7, 9)), transaction(10), transaction(11))
    assert str(maria.log.executed()) == "0-1-11,0-7-9"


@pytest.mark.parametrize("cut", range(1, 130, 3))
def test_a_transaction_that_was_cut_off_does_not_count(maria, cut) -> None:
    whole = transaction(2)
    file = maria.add(history(), transaction(1), whole)
    data = file.read_bytes()
    file.write_bytes(data[: len(data) - min(cut, len(whole) - 1)])
    assert str(maria.log.executed()) == "0-1-1"
    assert maria.log.read(file).partial


def test_a_transaction_without_its_end_does_not_count(maria) -> None:
    file = maria.add(history(), transaction(1), gtid(2), event(ROWS, b"r"))
    assert str(maria.log.executed()) == "0-1-1"
    assert maria.log.read(file).partial


def test_ddl_is_one_event(maria) -> None:
    maria.add(history(), gtid(1), query(b"CREATE TABLE t (i int)"))
    assert str(maria.log.executed()) == "0-1-1"


def test_mysql_begins_with_a_query_that_ends_nothing(tmp_path) -> None:
    logs = Directory(tmp_path, MYSQL)
    before = struct.pack("<Q", 1) + uuid.UUID(SOURCE).bytes + struct.pack("<Qqq", 1, 1, 5)
    file = logs.add(event(35, before), mysql_gtid(5), query(b"BEGIN"), event(ROWS, b"r"), event(XID, b"x" * 8),
                    mysql_gtid(6), query(b"BEGIN"))  # fmt: skip
    assert str(logs.log.executed()) == f"{SOURCE}:1-5"
    file.write_bytes(file.read_bytes() + event(ROWS, b"r") + event(XID, b"x" * 8))
    assert str(logs.log.executed()) == f"{SOURCE}:1-6"


def test_a_compressed_transaction_is_one_event(tmp_path) -> None:
    """binlog_transaction_compression: BEGIN, the rows and the XID are inside."""
    logs = Directory(tmp_path, MYSQL)
    logs.add(
        event(35, struct.pack("<Q", 0)),
        mysql_gtid(1),
        event(PAYLOAD, b"z" * 90),
        mysql_gtid(2),
        event(PAYLOAD, b"z" * 90),
    )
    assert str(logs.log.executed()) == f"{SOURCE}:1-2"
    file = logs.add(event(35, struct.pack("<Q", 0)), mysql_gtid(3), event(PAYLOAD, b"z" * 90)[:-1])
    assert str(logs.log.executed()) == ""
    assert logs.log.read(file).partial


def test_tagged_transactions_are_not_guessed_at(tmp_path) -> None:
    logs = Directory(tmp_path, MYSQL)
    logs.add(event(35, struct.pack("<Q", 0)), event(42, b"tagged"))
    with pytest.raises(OperationFailed, match="tagged"):
        logs.log.executed()


def test_missing_goes_back_as_far_as_needed_and_no_further(maria) -> None:
    maria.add(history(), transaction(1), transaction(2))
    maria.add(history((0, 1, 2)), transaction(3))
    maria.add(history((0, 1, 3)), transaction(4))
    files = maria.log.missing(known("0-1-2"))
    assert [file.path.name for file in files] == ["binlog.000002", "binlog.000003"]
    assert [str(group.gtid) for file in files for group in file.groups] == ["0-1-3..3", "0-1-4..4"]


def test_what_is_purged_is_not_passed_over(maria) -> None:
    maria.add(history((0, 1, 5)), transaction(6))
    with pytest.raises(Refused, match="purged"):
        maria.log.missing(known("0-1-3"))


def test_the_tool_gets_the_edges_of_transactions(maria, tmp_path, monkeypatch) -> None:
    first = maria.add(history(), transaction(1), transaction(2))
    second = maria.add(history((0, 1, 2)), transaction(3), gtid(4))
    asked = []

    def run(argv, timeout, **streams):
        asked.extend(argv)
        streams["stdout"].write(b"BINLOG")
        return ""

    monkeypatch.setattr(rescue, "_run", run)
    monkeypatch.setattr(rescue, "_tool", lambda engine, what: what)
    target = tmp_path / "rescue" / "it.sql"
    made = maria.log.extract(known("0-1-1"), target, 5)
    assert (made["transactions"], made["gtid"]) == (2, "0-1-2..3")
    begins = first.read_bytes().index(transaction(2))
    ends = second.read_bytes().index(gtid(4))
    assert f"--start-position={begins}" in asked
    assert f"--stop-position={ends}" in asked
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert made["sha256"] == rescue.digest(target)


def test_a_tool_that_fails_leaves_no_file(maria, tmp_path, monkeypatch) -> None:
    maria.add(history(), transaction(1))
    monkeypatch.setattr(rescue, "_run", lambda argv, timeout, **streams: "it broke")
    monkeypatch.setattr(rescue, "_tool", lambda engine, what: what)
    with pytest.raises(OperationFailed, match="it broke"):
        maria.log.extract(known(""), tmp_path / "it.sql", 5)
    assert not (tmp_path / "it.sql").exists()


def test_transactions_in_between_are_not_applied_twice(maria, tmp_path) -> None:
    maria.add(history(), transaction(1), gtid(1, 1, 5), query(b"CREATE"), transaction(2))
    with pytest.raises(Refused, match="between"):
        maria.log.extract(known("5-1-1"), tmp_path / "it.sql", 5)


def test_chunks_make_the_same_file(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(rescue, "CHUNK", 7)
    there, here = tmp_path / "there", tmp_path / "rescue" / "here"
    there.write_bytes(bytes(range(100)))
    offset = 0
    while data := rescue.read_chunk(there, offset):
        rescue.write_chunk(here, offset, data)
        offset += len(data)
    assert rescue.digest(here) == rescue.digest(there)
    assert stat.S_IMODE(here.stat().st_mode) == 0o600
    rescue.write_chunk(here, 0, b"anew")
    assert here.read_bytes() == b"anew"


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "a/b", "x.sql"])
def test_only_names_of_operations_become_files(name) -> None:
    with pytest.raises(Refused):
        rescue.path_of(name)


def test_what_came_before_a_file_is_read_from_its_beginning(maria, tmp_path) -> None:
    assert maria.log.before(maria.add(history((0, 1, 7), (0, 2, 9)), transaction(10))) == known("0-1-7,0-2-9")
    assert maria.log.before(maria.add(history())) == known("")
    previous = struct.pack("<Q", 1) + uuid.UUID(SOURCE).bytes + struct.pack("<Qqq", 1, 1, 6)
    place = tmp_path / "mysql"
    place.mkdir()
    mysql = Directory(place, MYSQL)
    assert mysql.log.before(mysql.add(event(35, previous), mysql_gtid(6))) == known(f"{SOURCE}:1-5", MYSQL)
    unsaid = maria.add(transaction(10), history((0, 1, 10)))
    encrypted = maria.add()
    encrypted.write_bytes(b"\xfdbin" + b"0" * 100)
    for path in (unsaid, encrypted):
        with pytest.raises(OperationFailed, match="does not say which transactions came before it"):
            maria.log.before(path)


def test_an_encrypted_log_is_told(maria) -> None:
    maria.add().write_bytes(b"\xfdbin" + b"0" * 100)
    with pytest.raises(OperationFailed, match="encrypted"):
        maria.log.executed()


@pytest.mark.parametrize(
    "scrambled",
    [event(163, b"\xff" * 6), event(35, b"\xff" * 30), event(164, b"\x01" * 17) + event(99, b"?" * 30)],
    ids=["list", "sets", "says so"],
)
@pytest.mark.parametrize("engine", [MARIADB, MYSQL])
def test_an_encrypted_file_is_told_in_words(tmp_path: Path, engine: str, scrambled: bytes) -> None:
    """Magic and lengths stay readable, the kinds are noise: what is no list must not be taken for one."""
    directory = Directory(tmp_path, engine)
    file = directory.add(scrambled)
    with pytest.raises(OperationFailed):
        directory.log.before(file)
    with pytest.raises(OperationFailed, match=r"encrypted|tagged"):
        directory.log.executed()
