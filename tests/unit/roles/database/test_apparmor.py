# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MySQL may read the pair's certificates and write backups where its package's AppArmor profile is enforced."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLE = Path(__file__).resolve().parents[4] / "roles" / "database"


def load(path: str) -> Any:
    return DataLoader().load_from_file(str(ROLE / path), trusted_as_template=True)


def tasks(file: str) -> dict[str, dict[str, Any]]:
    return {task["name"]: task for task in load(f"tasks/{file}.yml")}


class Node:
    """The two files of a node, and the role's variables."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.profile, self.rules = folder / "usr.sbin.mysqld", folder / "local"
        self.profile.write_text("/usr/sbin/mysqld { }\n", encoding="utf-8")
        self.variables = {
            **load("defaults/main.yml"),
            **load("vars/Debian.yml"),
            **load("vars/main.yml"),
            "database_engine": engine,
            "ansible_managed": "Ansible managed",
            "__database_profile": str(self.profile),
            "__database_rules": str(self.rules),
        }

    def look(self) -> list[str]:
        (look,) = tasks("look").values()
        script = Templar(loader=DataLoader(), variables=self.variables).template(look["vars"]["__database_look"])
        done = subprocess.run(["sh", "-c", script, "look", "nobody", "/nowhere"], capture_output=True, text=True, check=True)
        assert not done.stderr
        return done.stdout.rstrip("\r\n").split("\n")

    def seen(self) -> dict[str, Any]:
        return {**self.variables, "__database_seen": {"stdout_lines": self.look()}}

    def write(self) -> None:
        """What the role does with the rules."""
        seen = self.seen()
        if "profile" not in seen["__database_seen"]["stdout_lines"]:
            return
        loader = DataLoader()
        loader.set_basedir(str(ROLE))
        template = (ROLE / "templates/etc/apparmor.d/local/usr.sbin.mysqld.j2").read_text(encoding="utf-8")
        self.rules.write_text(Templar(loader=loader, variables=seen).template(trust_as_template(template)), encoding="utf-8")


def test_certificates_may_be_read_and_backups_written(tmp_path: Path) -> None:
    node = Node(tmp_path, "mysql")
    node.variables["database_backup_directories"] = ["/var/backups/tandem", "/mnt/backups/"]
    node.write()
    rules = {line for line in node.rules.read_text(encoding="utf-8").splitlines() if not line.startswith("#")}
    assert rules == {
        "/etc/tandem/pki/ca.pem r,",
        "/etc/tandem/pki/node.pem r,",
        "/etc/tandem/pki/node.key r,",
        "/var/backups/tandem/ rw,",
        "/var/backups/tandem/** rwk,",
        "/mnt/backups/ rw,",
        "/mnt/backups/** rwk,",
        "/run/tandem-scratch-*/ r,",
        "/run/tandem-scratch-*/** rwk,",
    }


@pytest.mark.parametrize("own", ["", "# Site-specific additions\n/data/** rwk,\n\n", "/data/ r,"])
def test_what_others_wrote_stays_and_a_second_run_changes_nothing(tmp_path: Path, own: str) -> None:
    node = Node(tmp_path, "mysql")
    node.rules.write_text(own, encoding="utf-8")
    node.write()
    first = node.rules.read_text(encoding="utf-8")
    assert first.startswith(own)
    node.write()
    assert node.rules.read_text(encoding="utf-8") == first
    node.variables["database_tls_key"] = "/etc/ssl/private/db.key"
    node.write()
    changed = node.rules.read_text(encoding="utf-8")
    assert changed.startswith(own)
    assert changed == first.replace("/etc/tandem/pki/node.key r,", "/etc/ssl/private/db.key r,")


def test_the_last_rule_is_read_where_its_line_has_no_end(tmp_path: Path) -> None:
    node = Node(tmp_path, "mysql")
    node.rules.write_text("/data/ r,", encoding="utf-8")
    assert "rule /data/ r," in node.look()


@pytest.mark.parametrize("without", ["engine", "profile"])
def test_nothing_is_written_where_no_profile_confines_the_server(tmp_path: Path, without: str) -> None:
    node = Node(tmp_path, "mariadb" if without == "engine" else "mysql")
    if without == "profile":
        node.profile.unlink()
    node.write()
    assert not node.rules.exists()


@pytest.mark.parametrize(
    ("changed", "enabled", "read"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_the_profile_is_read_again_when_it_changed_and_somebody_reads_it(tmp_path: Path, changed: bool, enabled: bool, read: bool) -> None:
    node = Node(tmp_path, "mysql")
    known = {
        **node.variables,
        "__database_files": {"changed_paths": [str(node.rules)] if changed else []},
        "__database_seen": {"stdout_lines": ["profile", *(["apparmor"] if enabled else [])]},
    }
    task = tasks("configure")["Let AppArmor read its rules again"]
    assert all(Templar(loader=DataLoader(), variables=known).evaluate_conditional(one) for one in task["when"]) is read


def test_it_happens_before_the_server_is_started_or_its_tables_are_made() -> None:
    order: list[str] = list(tasks("configure"))
    assert order.index("Let AppArmor read its rules again") < order.index("Make the system tables where the data directory is empty")
    main = yaml.safe_load((ROLE / "tasks" / "main.yml").read_text(encoding="utf-8"))
    assert [task.get("ansible.builtin.import_tasks") for task in main][1:] == ["install.yml", "configure.yml", "service.yml"]
