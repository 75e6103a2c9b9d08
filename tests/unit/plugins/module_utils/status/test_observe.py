# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What programs print, read back."""

from __future__ import annotations

import json
from pathlib import Path

from ansible_collections.tandem.lemp.plugins.module_utils.fence.record import Record
from ansible_collections.tandem.lemp.plugins.module_utils.status import observe

STATS = """\
# pxname,svname,qcur,status,weight,act,bck,
sql_write,FRONTEND,,OPEN,,,,
sql_writer,server1,0,{first},1,1,0,
sql_writer,server2,0,DOWN 1/2,1,1,0,
sql_writer,server1-read,0,UP,1,0,1,
sql_writer,server2-read,0,UP,1,0,1,
sql_writer,BACKEND,0,UP,1,,,
sql_reader,server2,0,no check,1,1,0,
"""

UNITS = """Id=php8.2-fpm.service
LoadState=loaded
ActiveState=inactive

Id=php8.4-fpm.service
LoadState=loaded
ActiveState=active
"""


def test_a_backend_leads_to_what_is_up() -> None:
    found = observe.proxy_backends(STATS.format(first="UP"))
    assert found["sql_writer"]["leads_to"] == ["server1"]
    assert found["sql_writer"]["servers"]["server2"] == "DOWN"
    assert found["sql_reader"] == {"leads_to": [], "servers": {"server2": "no"}}
    assert sorted(found) == ["sql_reader", "sql_writer"]


def test_without_it_to_the_first_spare_one() -> None:
    assert observe.proxy_backends(STATS.format(first="DOWN"))["sql_writer"]["leads_to"] == ["server1-read"]


def test_an_absent_socket_is_unknown_and_no_error() -> None:
    assert observe.proxy("/nonexistent/admin.sock") is None


def test_a_service_of_which_two_versions_are_installed_is_active_when_one_is() -> None:
    def run(command: list[str]) -> tuple[int, str, str]:
        if "php*-fpm.service" in command:
            return 0, UNITS, ""
        return 0, "Id=x.service\nLoadState=not-found\nActiveState=inactive\n", ""

    assert observe.services(run) == {
        "nginx": "absent",
        "php-fpm": "active",
        "database": "absent",
        "haproxy": "absent",
        "atlas": "absent",
        "keepalived": "absent",
        "tandem-health": "absent",
    }


def test_file_jobs_with_one_that_is_damaged_and_one_that_never_ran(tmp_path: Path) -> None:
    for name, text in (("www", json.dumps({"result": "ok", "finished": 1.0})), ("shop", '{"resu')):
        (tmp_path / f"{name}.json").write_text(text)
    (tmp_path / "www.marked").write_text("")
    assert observe.file_jobs(str(tmp_path)) == [
        {"name": "shop", "result": "unreadable"},
        {"name": "www", "result": "ok", "finished": 1.0},
    ]
    assert observe.file_jobs(str(tmp_path / "absent")) == []


def test_nobody_listening_is_an_answer() -> None:
    assert observe.health(1)["reason"] == "Connection refused"
    assert observe.web("/healthz", 1)["answers"] is False


def test_fences_are_named_with_what_had_been_open(tmp_path: Path) -> None:
    record = Record(tmp_path / "fence.json")
    assert observe.fences(record) == {}
    record.keep("read_only", {"was_open": True})
    record.keep("atlas", {})
    assert observe.fences(record) == {"atlas": False, "read_only": True}
    (tmp_path / "fence.json").write_text("{", encoding="utf-8")
    assert observe.fences(record) == {}
