# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""atlas_info and atlas_backend, as Ansible runs them, against what a real Atlas said."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.tandem.lemp.plugins.module_utils.atlas import admin as engine
from ansible_collections.tandem.lemp.plugins.module_utils.atlas import wanted
from ansible_collections.tandem.lemp.plugins.modules import atlas_backend, atlas_info

from .replay import ADDRESS, Faults, Server, Transcript, free_port, recorded, replaying, somebody
from .test_admin import M1, M2, undone_by_a_probe

NEW = "127.0.0.1:13399"
Run = t.Callable[..., dict[str, t.Any]]
LOOK, VERSION = recorded("admin_select_backends").commands[0], recorded("admin_select_version").commands[0]
CLIENTS, PWDS = recorded("admin_select_clients_empty").commands[0], recorded("admin_select_pwds").commands[0]
SAVE = recorded("admin_save_config").commands[1]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(engine, "_POLL", 0.01)
    monkeypatch.setattr(wanted, "SETTLE", 0.6)
    yield


@pytest.fixture(name="run")
def _run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(module: t.Any, server: Server | int, **more: t.Any) -> dict[str, t.Any]:
        port = server if isinstance(server, int) else server.port
        login = {"login_host": ADDRESS, "login_port": port, "login_user": "user", "login_password": "pwd", "login_timeout": 5}
        with patch_module_args({**login, **more}), pytest.raises(SystemExit):
            module.main()
        result: dict[str, t.Any] = json.loads(capsys.readouterr().out)
        return result

    return run


def order(*commands: t.Any) -> Transcript:
    """Recorded commands of several connections, one second apart."""
    return recorded("admin_select_backends").only(*(replace(command, at=float(at)) for at, command in enumerate(commands)))


def adding() -> Transcript:
    add, look = recorded("admin_add_slave").commands[:2]
    return order(LOOK, add, look)


def adding_and_saving() -> Transcript:
    return order(*adding().commands, SAVE, adding().commands[-1])


def removing() -> Transcript:
    return recorded("admin_remove_backend").only(*recorded("admin_remove_backend").commands[:3])


def down_and_undone() -> Transcript:
    """A writer that is being probed, not up, when it is taken offline."""
    talk = undone_by_a_probe(1)
    unknown = replace(recorded("admin_seq_offline_online").commands[4], at=0)
    return talk.only(unknown, *talk.commands[1:])


def told(server: Server) -> list[str]:
    return [command for command in server.heard if not command.startswith("SELECT")]


# atlas_info


def test_info(run: Run) -> None:
    with replaying(order(LOOK, CLIENTS, PWDS, VERSION)) as server:
        result = run(atlas_info, server)
    assert result["changed"] is False
    assert result["backends"] == [
        {"index": 1, "address": M1, "state": "up", "type": "rw"},
        {"index": 2, "address": M2, "state": "up", "type": "ro"},
    ]
    assert (result["clients"], result["pwds"], result["version"]) == ([], ["app", "root"], "2.2.2")
    said = json.dumps(result)
    assert "+tM0jMlXunM=" not in said and "qtyU1btXOo074Itvx0UR9Q==" not in said


def test_info_in_check_mode_is_the_same(run: Run) -> None:
    with replaying(order(LOOK, CLIENTS, PWDS, VERSION)) as server:
        assert run(atlas_info, server, _ansible_check_mode=True)["version"] == "2.2.2"


@pytest.mark.parametrize("module", [atlas_info, atlas_backend])
@pytest.mark.parametrize(
    ("name", "user", "password", "cause", "says"),
    [
        ("admin_auth_bad_password", "user", "wrong", "login", "refused the password of 'user'. It is what admin-password says."),
        ("admin_auth_bad_user", "nobody", "pwd", "login", "does not know the user 'nobody'"),
        ("proxy_handshake_auth_ok", "user", "pwd", "not_admin", "where applications connect"),
        ("mariadb_greeting", "user", "pwd", "not_admin", "is a database server"),
    ],
)
def test_what_is_wrong_is_said(run: Run, module: t.Any, name: str, user: str, password: str, cause: str, says: str) -> None:
    more = {"address": M1} if module is atlas_backend else {}
    with replaying(recorded(name)) as server:
        result = run(module, server, login_user=user, login_password=password, **more)
    assert result["failed"] is True and result["cause"] == cause and says in result["msg"]


def test_nobody_there_and_somebody_silent(run: Run) -> None:
    assert run(atlas_info, free_port())["cause"] == "refused"
    with somebody(b"") as port:
        assert run(atlas_info, port, login_timeout=0.2)["cause"] == "not_admin"


# atlas_backend: offline and online


def test_offline(run: Run) -> None:
    with replaying(recorded("admin_seq_offline_online")) as server:
        result = run(atlas_backend, server, address=M1, state="offline", _ansible_diff=True)
        again = run(atlas_backend, server, address=M1, type="rw", state="offline")
    name = f"{M1} (rw)"
    assert result["changed"] is True and result["actions"] == [f"set {name} offline"]
    assert result["diff"] == {"before": {name: "up"}, "after": {name: "offline"}}
    assert [one["state"] for one in result["backends"]] == ["offline", "up"]
    assert again["changed"] is False and again["actions"] == []
    assert told(server) == ["SET OFFLINE 1"]


def test_offline_in_check_mode(run: Run) -> None:
    with replaying(recorded("admin_select_backends")) as server:
        result = run(atlas_backend, server, address=M1, state="offline", settle=5, _ansible_check_mode=True, _ansible_diff=True)
    assert result["changed"] is True and result["diff"]["after"] == {f"{M1} (rw)": "offline"}
    assert [one["state"] for one in result["backends"]] == ["up", "up"]
    assert told(server) == []


def test_offline_that_a_probe_undoes(run: Run) -> None:
    with replaying(undone_by_a_probe(1), 20) as server:
        result = run(atlas_backend, server, address=M1, state="offline", settle=0.6)
    assert result["actions"][1] == f"set {M1} (rw) offline again, after a probe had undone it"
    assert result["backends"][0]["state"] == "offline"
    assert told(server) == ["SET OFFLINE 1"] * 2


@pytest.mark.parametrize(("settle", "times"), [({}, 2), ({"settle": 0}, 1)], ids=["as long as needed", "not"])
def test_one_that_is_being_probed_is_watched_unless_that_is_refused(run: Run, settle: dict[str, int], times: int) -> None:
    """A probe that was under way calls it up again, and writes go on."""
    with replaying(down_and_undone(), 20) as server:
        result = run(atlas_backend, server, address=M1, state="offline", **settle)
    assert told(server) == ["SET OFFLINE 1"] * times and result["changed"] is True


@pytest.mark.parametrize("module", [atlas_info, atlas_backend])
@pytest.mark.parametrize(
    ("name", "value"),
    [("login_timeout", -1), ("login_timeout", 0), ("login_timeout", "nan"), ("login_port", 99999), ("login_port", 0)],
)
def test_numbers_that_make_no_sense(run: Run, module: t.Any, name: str, value: t.Any) -> None:
    more = {"address": M1} if module is atlas_backend else {}
    result = run(module, 1, **more, **{name: value})
    assert result["failed"] is True and result["msg"].startswith(f"{name} is {value}, and has to be from")


@pytest.mark.parametrize("name", ["timeout", "settle"])
@pytest.mark.parametrize("value", ["nan", -1, "inf"])
def test_waits_that_would_never_end(run: Run, name: str, value: t.Any) -> None:
    result = run(atlas_backend, 1, address=M1, state="offline", **{name: value})
    assert result["failed"] is True and result["msg"].startswith(f"{name} is {value}, and has to be from")


def test_online_is_waited_for(run: Run) -> None:
    talk = recorded("admin_seq_offline_online")
    with replaying(talk.only(*talk.commands[2:]), 10) as server:
        result = run(atlas_backend, server, address=M1, state="online", _ansible_diff=True)
        again = run(atlas_backend, server, address=M1)
    assert result["changed"] is True and result["diff"]["after"] == {f"{M1} (rw)": "up"}
    assert result["backends"][0]["state"] == "up"
    assert again["changed"] is False
    assert told(server) == ["SET ONLINE 1"]


def test_online_in_check_mode(run: Run) -> None:
    talk = recorded("admin_seq_offline_online")
    with replaying(talk.only(talk.commands[2])) as server:
        result = run(atlas_backend, server, address=M1, state="online", _ansible_check_mode=True)
    assert result["changed"] is True and told(server) == []


def test_one_that_is_up_is_never_told_to_be_online(run: Run) -> None:
    """It would take nothing until it is probed."""
    with replaying(recorded("admin_select_backends")) as server:
        assert run(atlas_backend, server, address=M1, state="online")["changed"] is False
    assert told(server) == []


def test_one_that_is_unknown_is_only_waited_for(run: Run) -> None:
    talk = recorded("admin_seq_offline_online")
    with replaying(talk.only(*talk.commands[4:]), 10) as server:
        assert run(atlas_backend, server, address=M1, state="online")["changed"] is False
    assert told(server) == []


def test_one_that_does_not_come_up_is_an_error(run: Run) -> None:
    add = recorded("admin_add_slave")
    with replaying(add.only(add.commands[2])) as server:
        result = run(atlas_backend, server, address=NEW, state="online", timeout=0.1)
    assert result["failed"] is True and result["cause"] == "failed"
    assert f"{NEW} is down" in result["msg"] and "may the first account of" in result["msg"]


@pytest.mark.parametrize("state", ["online", "offline"])
def test_a_backend_that_is_not_there(run: Run, state: str) -> None:
    with replaying(recorded("admin_select_backends")) as server:
        result = run(atlas_backend, server, address="192.0.2.9:3306", state=state)
    assert result["cause"] == "unknown_backend" and "127.0.0.1:13306 (rw)" in result["msg"]


@pytest.mark.parametrize(("fault", "says"), [("falls_silent_at", "no answer within"), ("hangs_up_at", "hung up")])
def test_a_break_in_the_middle_says_that_nothing_is_known(run: Run, fault: str, says: str) -> None:
    with replaying(recorded("admin_seq_offline_online"), faults=Faults(**{fault: "SET"})) as server:
        result = run(atlas_backend, server, address=M1, state="offline", login_timeout=1)
    assert result["cause"] == "interrupted" and says in result["msg"] and "not known" in result["msg"]


# atlas_backend: present and absent


def test_present(run: Run) -> None:
    with replaying(adding()) as server:
        result = run(atlas_backend, server, address=NEW, type="ro", state="present", _ansible_diff=True)
        again = run(atlas_backend, server, address=NEW, type="ro", state="present")
    assert result["changed"] is True and result["actions"] == [f"add {NEW} (ro)"]
    assert result["diff"] == {"before": {f"{NEW} (ro)": "absent"}, "after": {f"{NEW} (ro)": "unknown"}}
    assert again["changed"] is False
    assert told(server) == [f"ADD SLAVE {NEW}"]


def test_present_in_check_mode(run: Run) -> None:
    with replaying(adding()) as server:
        result = run(atlas_backend, server, address=NEW, type="ro", state="present", _ansible_check_mode=True)
    assert result["actions"] == [f"add {NEW} (ro)"] and told(server) == []


def test_present_needs_a_type_and_an_address(run: Run) -> None:
    with replaying(recorded("admin_select_backends")) as server:
        assert "type" in run(atlas_backend, server, address=NEW, state="present")["msg"]
        assert "no address that Atlas can add" in run(atlas_backend, server, address="db10:3306", type="rw", state="present")["msg"]
    assert server.heard == []


def test_absent(run: Run) -> None:
    with replaying(removing()) as server:
        result = run(atlas_backend, server, address=NEW, state="absent", _ansible_diff=True)
        again = run(atlas_backend, server, address=NEW, state="absent")
    assert result["diff"] == {"before": {f"{NEW} (ro)": "down"}, "after": {f"{NEW} (ro)": "absent"}}
    assert again["changed"] is False
    assert told(server) == ["REMOVE BACKEND 5"]


def test_absent_of_a_type(run: Run) -> None:
    talk = recorded("admin_remove_backend")
    with replaying(talk.only(*talk.commands[2:5])) as server:
        assert run(atlas_backend, server, address=M2, type="rw", state="absent")["actions"] == [f"remove {M2} (rw)"]
    assert told(server) == ["REMOVE BACKEND 3"]


def test_absent_in_check_mode(run: Run) -> None:
    with replaying(removing()) as server:
        assert run(atlas_backend, server, address=NEW, state="absent", _ansible_check_mode=True)["changed"] is True
    assert told(server) == []


# atlas_backend: saving

CONFIG = """# Managed by Ansible
[mysql-proxy]
admin-username = user
admin-password = geheim99
pwds = app:+tM0jMlXunM=, root:qtyU1btXOo074Itvx0UR9Q==
proxy-backend-addresses = 127.0.0.1:13306
proxy-read-only-backend-addresses = 127.0.0.1:13307@3
charset = utf8mb4
"""
SAVED = """# Managed by Ansible
[mysql-proxy]
admin-username=user
admin-password=geheim99
pwds=app:+tM0jMlXunM=,root:qtyU1btXOo074Itvx0UR9Q==
proxy-backend-addresses=127.0.0.1:13306
proxy-read-only-backend-addresses=127.0.0.1:13307,127.0.0.1:13399
charset=utf8mb4
client-ips=
"""


def saver(path: Path, text: str = SAVED) -> Faults:
    """An Atlas in daemon mode: a new file, for everybody, without the weights."""

    def save() -> None:
        path.unlink()
        path.write_text(text)
        path.chmod(0o666)

    return Faults(acts={"SAVE CONFIG": save})


@pytest.fixture(name="config")
def _config(tmp_path: Path) -> Path:
    path = tmp_path / "main.cnf"
    path.write_text(CONFIG)
    path.chmod(0o640)
    return path


def saving(run: Run, talk: Transcript, config: Path, faults: Faults, **more: t.Any) -> dict[str, t.Any]:
    with replaying(talk, faults=faults) as server:
        wish = {"address": NEW, "type": "ro", "state": "present", "save": True, "config_file": str(config), "_ansible_diff": True, **more}
        result = run(atlas_backend, server, **wish)
    assert "geheim99" not in json.dumps(result) and "+tM0" not in json.dumps(result)
    return result


def test_saving_keeps_weights_mode_spaces_and_comments(run: Run, config: Path) -> None:
    result = saving(run, adding_and_saving(), config, saver(config))
    assert result["actions"] == [f"add {NEW} (ro)", "save the configuration"]
    assert config.read_text() == CONFIG.replace("13307@3", "13307@3,127.0.0.1:13399")
    assert config.stat().st_mode & 0o7777 == 0o640
    assert [each.name for each in config.parent.iterdir()] == ["main.cnf"]


def test_saving_again_changes_nothing(run: Run, config: Path) -> None:
    config.write_text(CONFIG.replace("13307@3", "13307@3,127.0.0.1:13399"))
    after = config.stat()
    look = recorded("admin_add_slave").commands[1]
    assert saving(run, order(look), config, saver(config))["changed"] is False
    assert (config.stat().st_ino, config.stat().st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_what_was_changed_and_not_saved_is_saved(run: Run, config: Path) -> None:
    look = recorded("admin_add_slave").commands[1]
    assert saving(run, order(look, SAVE, look), config, saver(config))["actions"] == ["save the configuration"]
    assert "13307@3,127.0.0.1:13399\n" in config.read_text()


def test_without_the_file_nobody_knows_whether_it_was_saved(run: Run) -> None:
    with replaying(adding_and_saving()) as server:
        result = run(atlas_backend, server, address=NEW, type="ro", state="present", save=True)
    assert "config_file" in result["msg"] and server.heard == []


def test_an_atlas_that_could_not_save_is_found_out(run: Run, config: Path) -> None:
    result = saving(run, adding_and_saving(), config, Faults())
    assert result["cause"] == "command" and f"{config} does not have it" in result["msg"]
    assert f"Done before, and not taken back: add {NEW} (ro)." in result["msg"]
    assert config.read_text() == CONFIG


def test_a_file_that_cannot_be_mended_later_stops_before_anything_is_told(run: Run, config: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.cnf"
    link.symlink_to(config)
    named = tmp_path / "named.cnf"
    named.write_text(CONFIG.replace("127.0.0.1:13307@3", "db10:3306@3"))
    other = tmp_path / "other.cnf"
    other.write_text("[client]\nuser=x\n")
    for path, says in ((link, "not a link"), (named, "names a backend otherwise"), (other, "no configuration file"),
                       (tmp_path, "no configuration file"), (tmp_path / "absent", "cannot be read")):  # fmt: skip
        with replaying(adding()) as server:
            result = run(atlas_backend, server, address=NEW, type="ro", state="present", save=True, config_file=str(path))
            assert says in result["msg"] and result["cause"] == "failed"
            assert server.heard == []


@pytest.mark.parametrize("state", ["online", "offline"])
def test_offline_is_not_saved_so_saving_it_is_refused(run: Run, state: str) -> None:
    with replaying(recorded("admin_select_backends")) as server:
        result = run(atlas_backend, server, address=M1, state=state, save=True, config_file="/nowhere")
    assert "does not keep" in result["msg"] and server.heard == []


def test_check_mode_saves_nothing(run: Run, config: Path) -> None:
    result = saving(run, order(LOOK), config, saver(config), _ansible_check_mode=True)
    assert result["actions"] == [f"add {NEW} (ro)", "save the configuration"] and config.read_text() == CONFIG
