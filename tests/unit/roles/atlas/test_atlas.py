# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration file of Atlas, as the role writes it and as Atlas reads it."""

from __future__ import annotations

import re
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
    ["Type=simple", "Restart=always", "StartLimitIntervalSec=0\n", "RestartSec=1s\n", "KillSignal=SIGINT", "User=atlas", "LogsDirectory=atlas\n", "ProtectSystem=strict", "LimitNOFILE=8192"],
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
