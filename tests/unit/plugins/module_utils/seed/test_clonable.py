# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CLONE leaves rows of other engines than InnoDB behind without a word: no copy begins where there are such tables."""

from __future__ import annotations

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.backup import making
from ansible_collections.tandem.lemp.plugins.module_utils.connection import Endpoint
from ansible_collections.tandem.lemp.plugins.module_utils.errors import Refused
from ansible_collections.tandem.lemp.plugins.module_utils.gtid import MARIADB, MYSQL
from ansible_collections.tandem.lemp.plugins.module_utils.seed import mysql
from ansible_collections.tandem.lemp.plugins.module_utils.state import RUNNING, ServerState


class Donor:
    """Answers as a server with these tables does: it lists them only for an account that may see them."""

    def __init__(self, tables, sees=True):
        self.tables, self.sees = tables, sees

    def __call__(self, _endpoint):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        return None

    def value(self, statement, arguments=()):
        assert "user_privileges" in statement and statement.count("%s") == len(arguments)
        return int(self.sees)

    def rows(self, statement, arguments=()):
        assert statement.count("%s") == len(arguments)
        left_out = {"InnoDB", *arguments}
        found = [one for one in self.tables if not left_out & {one[0], one[2]}]
        return [dict(zip(("place", "name", "engine"), one, strict=True)) for one in found] if self.sees else []


def ask(monkeypatch, *tables, sees=True):
    monkeypatch.setattr(mysql, "Connection", Donor(tables, sees))
    mysql.require_clonable(Endpoint(user="tandem_operator", host="192.0.2.1"), "node-a")


@pytest.mark.parametrize("engine", ["MyISAM", "CSV", "ARCHIVE", "MRG_MYISAM"])
def test_tables_that_would_be_empty_in_the_copy_are_named(monkeypatch, engine):
    with pytest.raises(Refused) as told:
        ask(monkeypatch, ("blog", "posts", "InnoDB"), ("blog", "wp`old", engine))
    assert f"these of node-a would be empty in the copy: blog.wp`old ({engine})." in str(told.value)
    assert "ALTER TABLE `blog`.`wp``old` ENGINE=InnoDB" in str(told.value)
    assert "posts" not in str(told.value)


def test_of_many_some_are_named(monkeypatch):
    with pytest.raises(Refused, match=r"blog\.t4 \(MyISAM\) and 3 more"):
        ask(monkeypatch, *(("blog", f"t{number}", "MyISAM") for number in range(8)))


def test_what_keeps_nothing_and_the_logs_of_the_server_do_not_matter(monkeypatch):
    ask(monkeypatch, ("blog", "t", "InnoDB"), ("blog", "cache", "MEMORY"), ("blog", "hole", "BLACKHOLE"), ("mysql", "slow_log", "CSV"))


def test_not_to_see_the_tables_is_not_to_know_that_there_are_none(monkeypatch):
    with pytest.raises(Refused, match=r"unknown: tandem_operator at 192\.0\.2\.1:3306 may not see .* playbooks/database\.yml"):
        ask(monkeypatch, ("blog", "old", "MyISAM"), sees=False)


@pytest.mark.parametrize("dry_run", [True, False], ids=["plan", "done"])
def test_no_backup_lacks_the_rows_of_a_table(monkeypatch, tmp_path, dry_run):
    seen = ServerState(state=RUNNING, engine=MYSQL, version="9.7.4", log_bin=True, read_only=True)
    monkeypatch.setattr(making, "look", lambda *_arguments: seen)
    monkeypatch.setattr(making.engines, "require_tools", lambda engine: None)
    monkeypatch.setattr(making, "_unarchived", lambda *_arguments: [])
    monkeypatch.setattr(making, "_size", lambda wish: 0)
    monkeypatch.setattr(making, "_copy", lambda *_arguments: pytest.fail("it was copied"))
    monkeypatch.setattr(making.scratch, "remove", lambda *_arguments: None)
    monkeypatch.setattr(mysql, "Connection", Donor([("blog", "old", "MyISAM")]))
    wish = making.Wish("node-b", Endpoint(), "/nowhere", str(tmp_path / "backups"), 7, "quick", True, True, 60, lambda text: None)
    with pytest.raises(Refused, match=r"node-b would be empty in the copy: blog\.old"):
        making.make(wish, dry_run=dry_run)
    assert not (tmp_path / "backups").exists()


def test_mariadb_copies_every_engine(monkeypatch):
    monkeypatch.setattr(mysql, "Connection", lambda endpoint: pytest.fail("it was asked"))
    making.engines.require_copyable(Endpoint(), MARIADB, "node-b")
