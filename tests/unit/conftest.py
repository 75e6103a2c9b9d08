# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes ansible_collections.tandem.lemp importable from any checkout, whatever its directory is called.

ansible-test does so by itself; plain pytest runs from wherever the repository was cloned to.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
import types
from pathlib import Path

from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from standstill import repeating

# A test of properties is about right and wrong. How long one example takes is the business of the machine: a loaded one needs
# 300 ms for what else takes half a one, and hypothesis would call that a failure (its deadline is 200 ms). bench/ measures.
settings.register_profile("tandem", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tandem")

ROOT = Path(__file__).resolve().parents[2]

# A server on loopback that has half a second for its answer is silent for as long as the machine stands still.
pytest_runtest_protocol = repeating(0.3)


def namespace(name: str, path: list[str]) -> None:
    """Register a package without a directory of its own."""
    module = types.ModuleType(name)
    module.__path__ = path
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
    module.__spec__.submodule_search_locations = path
    sys.modules[name] = module
    parent, _dot, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)


if ROOT.parts[-3:] != ("ansible_collections", "tandem", "lemp"):
    if importlib.util.find_spec("ansible_collections") is None:
        namespace("ansible_collections", [])
    importlib.import_module("ansible_collections")
    namespace("ansible_collections.tandem", [])
    namespace("ansible_collections.tandem.lemp", [str(ROOT)])
