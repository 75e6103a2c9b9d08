# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A data directory is replaced, and a kill at any moment loses neither the old data nor the way on."""

from __future__ import annotations

import itertools
import shutil

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.errors import Refused
from ansible_collections.tandem.lemp.plugins.module_utils.seed import datadir
from ansible_collections.tandem.lemp.plugins.module_utils.seed.datadir import DataDirectory

NAMES = ("ibdata1", "mysql/user.ibd", "blog/post.ibd", "binlog.000001")


class Killed(BaseException):
    """Like SIGKILL: nothing cleans up after it."""


def dies_at(moves):
    """A move that kills the process before the n-th."""
    count = itertools.count()

    def move(source, target):
        if next(count) == moves:
            raise Killed
        return shutil.move(source, target)

    return move


def fill(path, text):
    for name in NAMES:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="ascii")


def content(path):
    return {
        str(file.relative_to(path)): file.read_text(encoding="ascii")
        for file in path.rglob("*")
        if file.is_file() and ".tandem" not in file.parts
    }


@pytest.fixture
def directory(tmp_path):
    fill(tmp_path, "old")
    made = DataDirectory(str(tmp_path))
    fill(made.begin(), "new")
    return made


OLD = dict.fromkeys(NAMES, "old")
NEW = dict.fromkeys(NAMES, "new")


def test_the_copy_replaces_the_data_and_leaves_nothing_behind(directory):
    directory.swap()
    assert content(directory.path) == NEW
    directory.keep_new()
    assert not directory.work.exists()


def test_the_old_data_come_back_when_the_copy_does_not_work(directory):
    directory.swap()
    (directory.path / "aria_log_control").write_text("made by the new server", encoding="ascii")
    directory.restore()
    assert content(directory.path) == OLD
    assert not directory.interrupted()


@pytest.mark.parametrize("swap_moves", range(2 * 4))
@pytest.mark.parametrize("restore_moves", range(2 * 4))
def test_killed_twice_the_old_data_still_come_back(directory, swap_moves, restore_moves):
    with pytest.raises(Killed):
        DataDirectory(str(directory.path), dies_at(swap_moves)).swap()
    assert directory.interrupted()
    assert (directory.work / "swapping").exists(), "no server may start on half of the data"
    try:
        DataDirectory(str(directory.path), dies_at(restore_moves)).restore()
    except Killed:
        assert (directory.work / "swapping").exists(), "no server may start on half of the data"
    directory.restore()
    assert content(directory.path) == OLD
    assert not directory.interrupted()


def test_killed_after_the_swap_the_old_data_come_back_even_if_killed_again(tmp_path):
    for moves in range(9):
        path = tmp_path / str(moves)
        path.mkdir()
        fill(path, "old")
        fill(DataDirectory(str(path)).begin(), "new")
        DataDirectory(str(path)).swap()
        try:
            DataDirectory(str(path), dies_at(moves)).restore()
        except Killed:
            DataDirectory(str(path)).restore()
        assert content(path) == OLD


def dies_removing(files):
    """A removal that kills the process before its n-th file."""
    count = itertools.count()

    def remove(path, ignore_errors=False):
        for file in sorted(path.rglob("*"), reverse=True):
            if file.is_dir():
                file.rmdir()
                continue
            if next(count) == files:
                raise Killed
            file.unlink()
        if path.exists():
            path.rmdir()

    return remove


@pytest.mark.parametrize("files", range(len(NAMES) + 1))
def test_killed_while_the_old_data_are_removed_the_proven_new_ones_stay(directory, monkeypatch, files):
    """Half of the old data is never taken for the old data."""
    directory.swap()
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(datadir.shutil, "rmtree", dies_removing(files))
        directory.keep_new()
    again = DataDirectory(str(directory.path))
    assert not again.interrupted()
    assert content(directory.path) == NEW
    again.drop_gone()
    assert not list(directory.work.rglob("ibdata1"))
    # The next copy begins beside what is left.
    fill(again.begin(), "newer")
    again.swap()
    assert content(directory.path) == dict.fromkeys(NAMES, "newer")
    again.keep_new()
    assert not directory.work.exists()


def test_what_was_given_up_is_replaced_by_what_is_given_up_now(directory):
    directory.swap()
    fill(directory.work / "gone", "older")
    directory.keep_new()
    assert not directory.work.exists()


def test_what_counts_from_now_on_is_never_given_up(directory):
    fill(directory.work / "gone", "older")
    directory.swap()
    directory.begin_clone()
    assert directory.swapped()
    directory.settle()
    assert not (directory.interrupted() or directory.swapped() or directory.clone_broken())
    assert content(directory.path) == NEW
    directory.settle()
    directory.drop_gone()
    assert not list(directory.work.rglob("ibdata1"))


def test_half_of_the_data_does_not_count(directory):
    with pytest.raises(Killed):
        DataDirectory(str(directory.path), dies_at(2)).swap()
    directory.settle()
    assert directory.interrupted() and not directory.swapped()


def test_a_second_copy_begins_empty(directory):
    assert list(directory.begin().iterdir()) == []
    assert content(directory.path) == OLD


def test_too_little_room_is_refused_before_anything_is_moved(directory):
    with pytest.raises(Refused, match="MiB"):
        directory.require_space(10**18)
    assert content(directory.path) == OLD
