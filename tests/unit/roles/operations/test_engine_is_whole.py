# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role installs some packages of the engine: whatever the hand imports must be among them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[4]
SOURCE = ROOT / "plugins" / "module_utils"
IMPORT = "import importlib, sys; sys.path[:0] = [sys.argv[1], sys.argv[2]]; [importlib.import_module(name) for name in sys.argv[3:]]"


def test_the_hand_imports_nothing_that_is_not_installed(tmp_path: Path) -> None:
    packages = yaml.safe_load((ROOT / "roles" / "operations" / "vars" / "main.yml").read_text(encoding="utf-8"))["__operations_packages"]
    engine = tmp_path / "tandem_engine"
    for package in packages:
        (engine / package.strip("/")).mkdir(parents=True, exist_ok=True)
        for file in (SOURCE / package.strip("/")).glob("*.py"):
            shutil.copy(file, engine / package.strip("/") / file.name)
    (engine / "__init__.py").touch()
    # Not what only a module of Ansible uses: the hand, and what it runs.
    hand = [f"tandem_engine.hand.{file.stem}" for file in sorted((SOURCE / "hand").glob("*.py")) if file.stem != "__init__"]
    libraries = str(Path(yaml.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-I", "-c", IMPORT, str(tmp_path), libraries, *hand], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-800:]
