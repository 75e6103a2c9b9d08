# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What role health copies to a node is all that the daemon and the command need."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[4]
ROLE = ROOT / "roles" / "health"


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Path:
    made: Path = tmp_path_factory.mktemp("lib") / "tandem_engine"
    for part in yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["__health_parts"]:
        (made / part.lstrip("/")).mkdir(parents=True, exist_ok=True)
        for file in (ROOT / "plugins" / "module_utils" / part.lstrip("/")).glob("*.py"):
            shutil.copy(file, made / part.lstrip("/"))
    (made / "__init__.py").touch()
    for file in (ROLE / "files").glob("*.py"):
        shutil.copy(file, made / "health")
    return made


@pytest.mark.parametrize("program", ["tandem_main", "tandem_health_main"])
def test_it_starts_from_what_was_copied(engine: Path, program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-I", str(engine / "health" / f"{program}.py"), "--help"], capture_output=True, text=True, cwd="/", check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
