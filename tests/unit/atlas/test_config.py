# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration file after SAVE CONFIG has been at it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.atlas import config as engine
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.admin import Backend
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.config import Config, mend, mended
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.errors import CommandFailed
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.password import as_the_tool
from ansible_collections.tandem.lemp.plugins.module_utils.errors import OperationFailed, Refused

BEFORE = """[mysql-proxy]
# the writer
proxy-backend-addresses = 192.0.2.150:3306
proxy-read-only-backend-addresses = 192.0.2.11:3306@3, 192.0.2.12@2
pwds = app:+tM0jMlXunM=
daemon = true

[other]
pwds = none
"""


def config(text: str) -> Config:
    return Config(Path("/etc/atlas.cnf"), text, 0o600, 0, 0)


def saved(rw: str = "192.0.2.150:3306", ro: str = "192.0.2.11:3306,192.0.2.12:3306", pwds: str = "app:+tM0jMlXunM=", clients: str = "") -> Config:
    return config(
        f"[mysql-proxy]\nproxy-backend-addresses={rw}\nproxy-read-only-backend-addresses={ro}\npwds={pwds}\n"
        f"daemon=true\nclient-ips={clients}\n\n[other]\npwds=none\n"
    )


def test_what_means_the_same_is_written_as_it_was() -> None:
    assert mended(config(BEFORE), saved()) == BEFORE
    assert mended(config(BEFORE), saved(ro="192.0.2.12:3306,192.0.2.11:3306")) == BEFORE


def test_only_what_changed_changes() -> None:
    text = mended(config(BEFORE), saved(ro="192.0.2.12:3306,192.0.2.13:3306"))
    assert text == BEFORE.replace("192.0.2.11:3306@3, 192.0.2.12@2", "192.0.2.12:3306@2,192.0.2.13:3306")


def test_the_order_of_writers_counts() -> None:
    two = BEFORE.replace("192.0.2.150:3306", "192.0.2.150:3306,192.0.2.151:3306")
    text = mended(config(two), saved(rw="192.0.2.151:3306,192.0.2.150:3306"))
    assert "proxy-backend-addresses = 192.0.2.151:3306,192.0.2.150:3306\n" in text


def test_accounts_and_clients_that_were_added_meanwhile_are_kept() -> None:
    text = mended(config(BEFORE), saved(pwds="app:+tM0jMlXunM=,u1:OVB0OOuMLE0=", clients="192.0.2"))
    assert "pwds = app:+tM0jMlXunM=,u1:OVB0OOuMLE0=\n" in text
    assert "daemon = true\nclient-ips = 192.0.2\n\n[other]\npwds = none\n" in text


@pytest.mark.parametrize("length", [48, 55, 56, 63, 64, 72, 80, 90, 96, 150])
def test_a_folded_password_is_one_line_again(length: int) -> None:
    """With two lines Atlas does not start."""
    folded = as_the_tool(b"x" * length)
    assert "\n" in folded
    joined = folded.replace("\n", "")
    text = mended(config(BEFORE), saved(pwds=f"app:{folded},u1:OVB0OOuMLE0="))
    assert f"pwds = app:{joined},u1:OVB0OOuMLE0=\ndaemon = true\n" in text
    assert mended(config(BEFORE.replace("+tM0jMlXunM=", joined)), saved(pwds=f"app:{folded}")) == BEFORE.replace("+tM0jMlXunM=", joined)


def test_a_password_of_47_bytes_does_not_swallow_the_next_line() -> None:
    whole = as_the_tool(b"x" * 47)
    assert len(whole) == 64
    for following in ("charset=", "tables=", "daemon=true", "client-ips="):
        text = f"[mysql-proxy]\npwds=app:{whole}\n{following}\n"
        assert config(text).value("pwds") == f"app:{whole}"


def test_an_option_that_was_not_there_is_added_at_the_end_of_the_group() -> None:
    short = "[mysql-proxy]\nproxy-backend-addresses = 192.0.2.150:3306\npwds = app:+tM0jMlXunM="
    text = mended(config(short), saved(ro="192.0.2.12:3306"))
    assert text == short + "\nproxy-read-only-backend-addresses = 192.0.2.12:3306\n"


def test_the_last_of_two_entries_counts() -> None:
    twice = BEFORE.replace("daemon = true\n", "daemon = true\nproxy-read-only-backend-addresses=192.0.2.14:3306@5\n")
    assert config(twice).addresses("ro") == [("192.0.2.14:3306", "5")]
    assert "ddresses=192.0.2.14:3306@5,192.0.2.15:3306\n" in mended(config(twice), saved(ro="192.0.2.14:3306,192.0.2.15:3306"))


def test_no_backends_at_all_is_atlas_own_default() -> None:
    bare = config("[mysql-proxy]\n")
    assert bare.says([Backend(1, "127.0.0.1:3306", "up", "rw")])
    assert not bare.says([])


def test_only_a_line_feed_ends_a_line() -> None:
    """Python knows more ends of lines than Atlas does."""
    odd = BEFORE.replace("# the writer", "# the\x0b writer\x85pwds = no\u2028[other]\x1cdaemon = no")
    assert config(odd).value("pwds") == "app:+tM0jMlXunM=" and config(odd).value("daemon") == "true"
    text = mended(config(odd), saved(ro="192.0.2.11:3306", clients="192.0.2"))
    assert text == odd.replace("@3, 192.0.2.12@2", "@3").replace("daemon = true\n", "daemon = true\nclient-ips = 192.0.2\n")


def test_an_empty_list_stays_an_empty_list() -> None:
    assert "proxy-read-only-backend-addresses = \n" in mended(config(BEFORE), saved(ro=""))


@pytest.mark.parametrize("address", ["db10:3306", "[::1]:3306", "/run/mysqld.sock", "192.0.2.1:x", "192.0.2.1:33_06", "192.0.2.1:+3306", "192.0.2.1:0"])
def test_what_atlas_would_write_otherwise_is_refused(address: str) -> None:
    with pytest.raises(Refused, match="otherwise than as an IPv4 address"):
        config(BEFORE.replace("192.0.2.12@2", address)).addresses("ro")


def backends() -> list[Backend]:
    return [Backend(1, "192.0.2.150:3306", "up", "rw"), Backend(2, "192.0.2.11:3306", "up", "ro"), Backend(3, "192.0.2.12:3306", "up", "ro")]


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    path = tmp_path / "main.cnf"
    path.write_text(BEFORE)
    path.chmod(0o600)
    return path


def save(path: Path, text: str | None = None, mode: int = 0o666) -> None:
    path.unlink()
    path.write_text(saved().text if text is None else text)
    path.chmod(mode)


def test_a_file_is_as_it_was(path: Path) -> None:
    before = Config.load(path)
    save(path)
    mend(before, backends())
    assert path.read_text() == BEFORE and path.stat().st_mode & 0o7777 == 0o600


def test_a_stricter_mode_of_before_comes_at_once_and_a_wider_one_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.chmod(0o640)
    before = Config.load(path)
    save(path, mode=0o606)
    modes: list[int] = []
    load = Config.load

    def seen(_path: Path) -> Config:
        modes.append(path.stat().st_mode & 0o7777)
        return load(_path)

    monkeypatch.setattr(engine.Config, "load", seen)
    mend(before, backends())
    assert modes == [0o600] and path.stat().st_mode & 0o7777 == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_is_that_of_before(path: Path) -> None:
    os.chown(path, 1234, 1235)
    before = Config.load(path)
    save(path)
    mend(before, backends())
    assert (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o7777) == (1234, 1235, 0o600)


def test_an_atlas_that_did_not_save(path: Path) -> None:
    before = Config.load(path)
    with pytest.raises(CommandFailed, match="does not have it"):
        mend(before, backends()[:2])


@pytest.mark.parametrize("text", ["", "[mysql-proxy]\nproxy-backend-addresses=db10:1\n"])
def test_what_atlas_broke_altogether_is_said(path: Path, text: str) -> None:
    before = Config.load(path)
    save(path, text)
    with pytest.raises(OperationFailed, match="cannot be mended"):
        mend(before, backends())
    assert path.stat().st_mode & 0o7777 == 0o600


def test_a_file_that_cannot_be_replaced_is_said_and_leaves_nothing_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Config.load(path)
    save(path)

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(engine.os, "replace", full)
    with pytest.raises(OperationFailed, match="could not be mended: No space left"):
        mend(before, backends())
    assert [each.name for each in path.parent.iterdir()] == ["main.cnf"]


def test_bytes_that_are_no_text_survive(path: Path) -> None:
    path.write_bytes(BEFORE.encode() + b"# \xff\xfe\n")
    before = Config.load(path)
    save(path)
    mend(before, backends())
    assert path.read_bytes() == BEFORE.encode() + b"# \xff\xfe\n"


def test_a_fifo_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(Refused):
        Config.load(tmp_path / "fifo")


def test_a_file_for_ever_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "big").write_text("[mysql-proxy]\n" + "#" * (1 << 20))
    with pytest.raises(Refused, match="no configuration file"):
        Config.load(tmp_path / "big")
