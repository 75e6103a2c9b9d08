# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration file of Atlas, as the role writes it and as Atlas reads it."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.tandem.lemp.plugins.filter.atlas_encrypt import atlas_encrypt
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.config import Config

ROLE = Path(__file__).resolve().parents[4] / "roles" / "atlas"
DEFAULTS: dict[str, Any] = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8"))
GIVEN: dict[str, Any] = {
    "atlas_user": "blog",
    "atlas_password": "Xp29at5F37",
    "atlas_admin_password": "pW4yB6dF8hK0mQ2s",
    "atlas_writers": ["127.0.0.1:6446"],
    "atlas_readers": [{"address": "127.0.0.1:6448", "weight": 1}, {"address": "192.0.2.12:3306", "weight": 3}],
}
# Every option that Atlas 2.2.2 has. These have one value only, or none that makes sense.
FIXED = {"daemon", "keepalive"}
SENSELESS = {"user", "no-proxy", "log-use-syslog"}
OPTIONS = {
    "admin-address", "admin-username", "admin-password", "proxy-address", "proxy-backend-addresses",
    "proxy-read-only-backend-addresses", "pwds", "client-ips", "lvs-ips", "tables", "charset", "daemon", "keepalive",
    "event-threads", "log-level", "log-path", "instance", "sql-log", "sql-log-slow", "wait-timeout",
    "max_conn_for_a_backend", "user", "basedir", "plugin-dir", "plugins", "max-open-files", "lua-path", "lua-cpath",
    "verbose-shutdown", "log-backtrace-on-crash", "log-use-syslog", "proxy-lua-script", "proxy-skip-profiling",
    "proxy-fix-bug-25371", "no-proxy", "proxy-pool-no-change-user",
}  # fmt: skip
# A value that is not the default for each variable that is not always written.
MORE: dict[str, Any] = {
    "atlas_client_ips": ["127.0.0"], "atlas_lvs_ips": ["192.0.2.1"], "atlas_tables": ["a.b.id.4"], "atlas_basedir": "/x",
    "atlas_plugin_dir": "/x", "atlas_plugins": ["admin", "proxy"], "atlas_lua_path": "/x", "atlas_lua_cpath": "/x",
    "atlas_lua_script": "/x", "atlas_skip_profiling": True, "atlas_fix_bug_25371": True, "atlas_pool_no_change_user": True,
    "atlas_verbose_shutdown": True, "atlas_log_backtrace_on_crash": True,
}  # fmt: skip


def rendered(name: str, **more: Any) -> str:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    environment.filters["comment"] = lambda text: f"#\n# {text}\n#"
    environment.filters["tandem.lemp.atlas_encrypt"] = atlas_encrypt
    environment.filters["relpath"] = lambda path, start: str(Path(path).relative_to(start))
    environment.tests["match"] = lambda text, pattern: re.match(pattern, text) is not None
    known = {"__atlas_prefix": "/usr/local/mysql-proxy", "__atlas_config": "/usr/local/mysql-proxy/conf/main.cnf", "__atlas_system_user": "atlas"}
    template = environment.from_string((ROLE / "templates" / name).read_text(encoding="utf-8"))
    return template.render({**DEFAULTS, **GIVEN, **known, "ansible_managed": "Ansible managed", **more})


def config(tmp_path: Path, **more: Any) -> Config:
    path = tmp_path / "main.cnf"
    path.write_text(rendered("usr/local/mysql-proxy/conf/instance.cnf.j2", **more), encoding="utf-8")
    return Config.load(path)


def keys(found: Config) -> list[str]:
    return [line.partition("=")[0].strip() for line in found.text.splitlines() if "=" in line and not line.startswith("#")]


def test_what_atlas_reads(tmp_path: Path) -> None:
    found = config(tmp_path)
    assert found.value("pwds") == "blog:qtyU1btXOo074Itvx0UR9Q=="
    assert found.value("proxy-address") == "127.0.0.1:1234"
    assert found.value("proxy-backend-addresses") == "127.0.0.1:6446"
    assert found.value("proxy-read-only-backend-addresses") == "127.0.0.1:6448@1,192.0.2.12:3306@3"
    assert found.value("charset") == "utf8mb4"
    assert (found.value("daemon"), found.value("keepalive")) == ("false", "false")
    assert found.value("sql-log") == "OFF"
    assert len(keys(found)) == len(set(keys(found)))


def test_each_line_is_one_that_atlas_takes(tmp_path: Path) -> None:
    for line in config(tmp_path, **MORE).text.splitlines():
        assert re.fullmatch(r"|#.*|\[mysql-proxy\]|[a-z_0-9-]+ = \S.*", line), line


def test_every_option_can_be_set_and_no_other_is_written(tmp_path: Path) -> None:
    assert set(keys(config(tmp_path, **MORE))) == OPTIONS - SENSELESS
    always = set(keys(config(tmp_path)))
    for name, value in MORE.items():
        assert len(set(keys(config(tmp_path, **{name: value}))) - always) == 1, name
    assert always >= FIXED


def test_without_readers_there_is_no_line_for_them(tmp_path: Path) -> None:
    assert config(tmp_path, atlas_readers=[]).value("proxy-read-only-backend-addresses") is None


def test_there_is_one_account_and_no_way_to_a_second() -> None:
    assert "atlas_pwds" not in DEFAULTS
    tasks = (ROLE / "tasks" / "preflight.yml").read_text(encoding="utf-8")
    refused = re.search(r"atlas_user is match\('(.+)'\)", tasks)
    assert refused is not None
    pattern = refused.group(1).replace("\\\\", "\\")
    assert re.match(pattern, "blog") and not re.match(pattern, "blog:x,shop")


@pytest.mark.parametrize(
    "word",
    [
        "Type=simple", "Restart=always", "StartLimitIntervalSec=0\n", "RestartSec=1s\n", "KillSignal=SIGINT", "User=atlas", "LogsDirectory=atlas\n",
        "Environment=LD_LIBRARY_PATH=/usr/local/mysql-proxy/lib\n", "ProtectSystem=strict", "LimitNOFILE=8192",
    ],
)
def test_the_unit(word: str) -> None:
    text = rendered("etc/systemd/system/atlas.service.j2")
    assert word in text
    assert "forking" not in text and "StartLimitBurst" not in text


def test_logs_elsewhere_may_be_written() -> None:
    text = rendered("etc/systemd/system/atlas.service.j2", atlas_log_dir="/srv/logs")
    assert "ReadWritePaths=/srv/logs\n" in text and "LogsDirectory=" not in text


def trusted(*name: str) -> Any:
    return DataLoader().load_from_file(str(ROLE.joinpath(*name)), trusted_as_template=True)


@pytest.mark.parametrize(("check", "changed", "judged"), [(True, True, False), (True, False, True), (False, True, True)])
@pytest.mark.parametrize("brought", ["__atlas_fetched", "__atlas_copied"])
@pytest.mark.parametrize("name", ["It is the right one", "Install the deb"])
def test_the_old_package_of_that_name_is_not_taken_for_the_new_one(name: str, brought: str, check: bool, changed: bool, judged: bool) -> None:
    """Check mode brings none."""
    (task,) = (each for each in trusted("tasks", "install_package.yml") if each["name"] == name)
    given = {"atlas_checksum": "sha256:00", "__atlas_package_format": "deb", "__atlas_file": {"stat": {"exists": True}}, "ansible_check_mode": check}
    skipped = {one: {"skipped": True, "changed": False} for one in ("__atlas_fetched", "__atlas_copied")}
    known = {**trusted("vars", "main.yml"), **given, **skipped, brought: {"changed": changed}}
    templar = Templar(loader=DataLoader(), variables=known)
    assert all(templar.evaluate_conditional(one) for one in task["when"]) is judged


@pytest.mark.parametrize("end", ["", "/", "//"])
def test_a_tree_may_end_with_a_slash(end: str) -> None:
    """Ansible finds its files under the plain path."""
    (task,) = (each for each in trusted("tasks", "install_tree.yml") if each["name"] == "It is a tree of Atlas")
    for found, right in (("/srv/atlas/bin/mysql-proxy", True), ("/srv/atlas/bin/mysql-proxyd", False)):
        templar = Templar(loader=DataLoader(), variables={"atlas_tree": f"/srv/atlas{end}", "__atlas_given": {"files": [{"path": found}]}})
        assert templar.evaluate_conditional(task["ansible.builtin.assert"]["that"]) is right


def task(file: str, name: str) -> Any:
    (found,) = (each for each in trusted("tasks", file) if each["name"] == name)
    return found


def templar(**known: Any) -> Templar:
    return Templar(loader=DataLoader(), variables={**trusted("defaults", "main.yml"), **trusted("vars", "main.yml"), **GIVEN, **known})


def holds(when: Any, **known: Any) -> bool:
    return all(templar(**known).evaluate_conditional(one) for one in (when if isinstance(when, list) else [when]))


def test_a_place_for_logs_is_made_where_systemd_does_not() -> None:
    """Or its unit could not start, since what it names has to be there."""
    said = {"path": "/srv/logs", "state": "directory", "owner": "atlas", "group": "atlas", "mode": "0750"}
    for given in ("/srv/logs", "/srv/logs/"):
        assert templar(atlas_log_dir=given).template(trusted("vars", "main.yml")["__atlas_log_directory"]) == [said]
    assert templar().template(trusted("vars", "main.yml")["__atlas_log_directory"]) == []
    assert "__atlas_log_directory" in task("configure.yml", "Configure")["tandem.lemp.files"]["files"]


def test_its_own_libraries_are_missed_too_and_looked_for_where_the_unit_does() -> None:
    ask, name = task("look_at_libraries.yml", "Ask the loader"), task("look_at_libraries.yml", "Name the missing ones")
    assert templar(atlas_prefix="/opt/atlas").template(ask["environment"]["LD_LIBRARY_PATH"]) == "/opt/atlas/lib"
    said = "/opt/atlas/bin/mysql-proxy:\n\tlibmysql-chassis.so.0 => not found\n\tlibc.so.6 => /lib/libc.so.6 (0x1)\n\tliblua5.1.so.0 => not found\n"
    own = {"files": [{"path": "/opt/atlas/lib/libmysql-chassis.so.0"}]}
    found = templar(__atlas_loader={"stdout": said}, __atlas_own=own).template(name["ansible.builtin.set_fact"]["__atlas_missing"])
    assert found == ["liblua5.1.so.0", "libmysql-chassis.so.0"]


def listed(directory: Path) -> dict[str, Any]:
    """As the module find tells it."""
    return {
        "files": [
            {
                "path": str(path), "isdir": path.is_dir() and not path.is_symlink(), "islnk": path.is_symlink(),
                "mode": f"{path.lstat().st_mode & 0o7777:04o}", **({} if path.is_symlink() or path.is_dir() else {"checksum": path.read_text()}),
            }
            for path in sorted(directory.rglob("*"))
        ]
    }  # fmt: skip


def tree(directory: Path) -> Path:
    """Unpacked under umask 077."""
    for name, mode in (("bin/mysql-proxy", 0o700), ("lib/libx.so.0.0", 0o600)):
        path = directory / name
        path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
        path.write_text(name)
        path.chmod(mode)
    (directory / "lib" / "libx.so.0").symlink_to("libx.so.0.0")
    return directory


def test_a_link_that_is_missing_is_copied(tmp_path: Path) -> None:
    given, there = tree(tmp_path / "given"), tree(tmp_path / "there")
    when = task("install_tree.yml", "Copy the tree")["when"]

    def copies() -> bool:
        return holds(when, atlas_tree=str(given), atlas_prefix=str(there), __atlas_given=listed(given), __atlas_installed=listed(there))

    assert not copies()
    (there / "lib" / "libx.so.0").unlink()
    assert copies()


def test_a_tree_of_a_strict_umask_can_be_read_by_everybody(tmp_path: Path) -> None:
    there = tree(tmp_path)
    mend = task("install_tree.yml", "Let everybody read it")
    known = {"ansible_check_mode": False, "atlas_prefix": str(there)}

    def needed(copied: bool) -> bool:
        more = {**known, "__atlas_placed": {"changed": copied}, "__atlas_installed": listed(there)}
        return all(templar(**more, **mend["vars"]).evaluate_conditional(one) for one in mend["when"])

    assert needed(False)
    subprocess.run(templar(**known).template(mend["ansible.builtin.command"]["argv"]), check=True)
    assert [f"{path.stat().st_mode & 0o777:o}" for path in (there / "bin", there / "bin" / "mysql-proxy", there / "lib" / "libx.so.0.0")] == [
        "755", "755", "644",
    ]  # fmt: skip
    assert not needed(False) and needed(True)


@pytest.mark.parametrize(("file", "changes"), [("install_tree.yml", "Copy the tree"), ("install_package.yml", "Install the deb")])
def test_a_run_that_breaks_off_is_finished_by_the_next_one(file: str, changes: str) -> None:
    """It finds nothing to install, and restarts Atlas, since the mark of the configuration is there."""
    names = [each["name"] for each in trusted("tasks", file)]
    assert names.index("Mark it") < names.index(changes)
    mark = next(each for each in trusted("tasks", "mark.yml") if "ansible.builtin.copy" in each)["ansible.builtin.copy"]
    path = templar(atlas_instance="shop").template(mark["dest"])
    assert path == f"/run/tandem/pending/{templar(atlas_instance='shop').template(task('configure.yml', 'Configure')['tandem.lemp.files']['pending'])}"
    (forget,) = (each for each in trusted("handlers", "main.yml") if "ansible.builtin.file" in each)
    assert templar(atlas_instance="shop").template(forget["ansible.builtin.file"]["path"]) == path


WELL = {"__atlas_package_format": "deb", "atlas_tree": "/srv/atlas"}


def accepted(more: dict[str, Any]) -> bool:
    known = {**WELL, **more}
    return all(holds(each["ansible.builtin.assert"]["that"], **{**each.get("vars", {}), **known}) for each in trusted("tasks", "preflight.yml"))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"atlas_event_threads": "4", "atlas_wait_timeout": "0", "atlas_proxy_port": "1234", "atlas_admin_port": "2345"},
        {"atlas_tree": "/opt/atlas", "atlas_tree_on_node": True},
        {"atlas_log_dir": "/srv/logs"},
        {"atlas_writers": ["255.255.255.255:65535"], "atlas_readers": [{"address": "10.0.0.9:1"}]},
        {"atlas_tree": "", "atlas_package": "/srv/atlas.deb", "atlas_checksum": "sha256:" + "0a1b" * 16},
    ],
    ids=str,
)
def test_what_is_right_is_accepted(more: dict[str, Any]) -> None:
    assert accepted(more)


@pytest.mark.parametrize(
    "more",
    [
        {"atlas_proxy_address": "127.0.0.5"},  # applications are sent to 127.0.0.1
        {"atlas_admin_address": "10.0.0.999"},
        {"atlas_admin_address": "10.0.0.1\n"},
        {"atlas_writers": ["999.1.1.1:3306"]},
        {"atlas_writers": ["10.0.0.1:99999"]},
        {"atlas_writers": ["10.0.0.1:0"]},
        {"atlas_writers": ["10.0.0.1:3306\n"]},
        {"atlas_readers": [{"address": "10.0.0.256:3306"}]},
        {"atlas_instance": "main\n"},
        {"atlas_user": "blog\n"},
        {"atlas_admin_password": "x\n"},
        {"atlas_charset": "utf8mb4\n"},
        {"atlas_tree": "", "atlas_package": "/srv/atlas.deb", "atlas_checksum": "sha256:0a1b"},
        {"atlas_tree": "", "atlas_package": "/srv/atlas.rpm"},
        {"atlas_event_threads": "0"},
        {"atlas_tree": "/home/anna/atlas", "atlas_tree_on_node": True},
        {"atlas_tree": "/srv/../tmp/atlas", "atlas_tree_on_node": True},
        {"atlas_prefix": "/root/atlas"},
        {"atlas_log_dir": "/var/tmp/logs"},
        {"atlas_log_dir": "/var/log/"},
    ],
    ids=str,
)
def test_what_cannot_work_is_refused(more: dict[str, Any]) -> None:
    assert not accepted(more)


LISTENING = """\
LISTEN 0      128    10.0.0.1:2345 0.0.0.0:*
LISTEN 0      128      127.0.0.1:1234 0.0.0.0:*
{}"""


@pytest.mark.parametrize(
    ("said", "well"), [("active for 3", True), ("active for 4711", True), ("active for 1", False), ("activating for 0", False), ("inactive for 99", False)]
)
def test_another_atlas_at_its_ports_is_not_taken_for_it(said: str, well: bool) -> None:
    """Whoever finds them taken ends within moments, and is started again each second."""
    look = task("verify.yml", "Its own process listens")
    for text, listens in ((LISTENING.format(said), well), (LISTENING.format(said).partition("\n")[2], False)):
        known = {"__atlas_listens": {"stdout": text, "stdout_lines": text.splitlines()}, **look["vars"]}
        assert holds(look["block"][0]["until"], **known) is listens


def test_a_distribution_of_rpms_has_names_too() -> None:
    assert trusted("vars", "RedHat.yml")["__atlas_package_format"] == "rpm"
    assert set(trusted("vars", "RedHat.yml")) == set(trusted("vars", "Debian.yml"))


def users(port: int) -> dict[str, Any]:
    look = task("wait_until_unused.yml", "Wait until nobody uses Atlas")["block"][1]
    argv = templar(atlas_proxy_port=port).template(look["ansible.builtin.command"]["argv"])
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.rstrip("\n")
    found = {"stdout": said, "stdout_lines": said.splitlines()}
    return {"atlas_proxy_port": port, "__atlas_clients": found, "free": holds(look["until"], __atlas_clients=found)}


def test_who_connects_for_each_statement_uses_atlas_between_two_of_them() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert users(port)["free"]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _address = server.accept()
        seen = users(port)
        assert not seen["free"]
        fail = task("wait_until_unused.yml", "Wait until nobody uses Atlas")["rescue"][0]
        said = templar(**seen, **fail["vars"]).template(fail["ansible.builtin.fail"]["msg"])
        assert re.search(r"1 connections are open \(py[^,]*\), and 0 were closed", said), said
        client.close()
        accepted.recv(1)
        accepted.close()
        seen = users(port)
        assert not seen["free"]
        said = templar(**seen, **fail["vars"]).template(fail["ansible.builtin.fail"]["msg"])
        assert "0 connections are open (nobody knows whose), and 1 were closed during the last minute" in said
