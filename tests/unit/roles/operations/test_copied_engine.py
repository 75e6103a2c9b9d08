# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What role operations copies to a node needs nothing that it does not copy."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[4]
IMPORT = "import importlib, sys; sys.path.insert(0, sys.argv[1]); [importlib.import_module(name) for name in sys.argv[2:]]"


def test_every_part_can_be_imported(tmp_path: Path) -> None:
    names = []
    for part in yaml.safe_load((ROOT / "roles" / "operations" / "vars" / "main.yml").read_text())["__operations_packages"]:
        copied = tmp_path / "tandem_engine" / part.lstrip("/")
        copied.mkdir(parents=True, exist_ok=True)
        (copied / "__init__.py").touch()
        for file in (ROOT / "plugins" / "module_utils" / part.lstrip("/")).glob("*.py"):
            shutil.copy(file, copied)
            if part and file.stem != "__init__":
                names.append(f"tandem_engine{part.replace('/', '.')}.{file.stem}")
    done = subprocess.run([sys.executable, "-I", "-c", IMPORT, str(tmp_path), *names], capture_output=True, text=True, cwd="/", check=False)
    assert len(names) > 30
    assert done.returncode == 0, done.stderr
