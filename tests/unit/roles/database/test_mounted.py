# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that is not mounted is no lost data directory."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLE = Path(__file__).resolve().parents[4] / "roles" / "database"
LOOK: str = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))["__database_unmounted"]


def unmounted(data: Path, *places: Path | str, folder: Path) -> list[str]:
    table = folder / "fstab"
    lines = [f"LABEL={number} {place} ext4 defaults,nofail 0 2" for number, place in enumerate(places)]
    table.write_text("\n".join(["# /etc/fstab", *lines, "LABEL=swap none swap sw 0 0", ""]), encoding="utf-8")
    return subprocess.run(["sh", "-c", LOOK, "look", str(data), str(table)], capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize("above", [0, 1, 2])
def test_a_mount_point_of_the_data_or_above_them_that_is_not_mounted(tmp_path: Path, above: int) -> None:
    data = tmp_path / "lib" / "mysql"
    data.mkdir(parents=True)
    place = [data, *data.parents][above]
    assert unmounted(data, "/", place, folder=tmp_path) == [str(place)]


def test_where_a_link_leads_counts(tmp_path: Path) -> None:
    disk, data = tmp_path / "disk", tmp_path / "mysql"
    disk.mkdir()
    data.symlink_to(disk / "mysql")
    assert unmounted(data, disk, folder=tmp_path) == [str(disk)]


def test_what_is_mounted_or_elsewhere_is_not_in_the_way(tmp_path: Path) -> None:
    data = tmp_path / "mysql"
    assert unmounted(data, "/", "/proc", tmp_path / "mysql-old", tmp_path / "mysql" / "below", folder=tmp_path) == []
    assert unmounted(Path("/proc/self"), "/proc", folder=tmp_path) == []
    assert subprocess.run(["sh", "-c", LOOK, "look", str(data), str(tmp_path / "none")], check=True, capture_output=True).stdout == b""


@pytest.mark.parametrize(("file", "before"), [("install.yml", "ansible.builtin.apt"), ("configure.yml", "ansible.builtin.shell")])
def test_it_is_looked_for_before_anything_is_made(file: str, before: str) -> None:
    tasks: list[dict[str, Any]] = yaml.safe_load((ROLE / "tasks" / file).read_text(encoding="utf-8"))
    (looks,) = (number for number, task in enumerate(tasks) if task.get("ansible.builtin.import_tasks") == "mounted.yml")
    (makes,) = (number for number, task in enumerate(tasks) if before in task)
    assert looks < makes
