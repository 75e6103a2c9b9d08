# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two machines on one wire: real interfaces in two network namespaces. Needs root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils import duplicate_address

SOURCE = Path(duplicate_address.__file__)
ASK = """
import json, sys
sys.path.insert(0, sys.argv[1])
import duplicate_address
found = duplicate_address.find_holders([("wire0", address) for address in sys.argv[2:]], probes=2, wait=0.4)
print(json.dumps({address: sorted(macs) for address, macs in found.items()}))
"""


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def wire() -> Iterator[tuple[str, str]]:
    """Make two namespaces joined by a cable; yield their names."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and ip")
    here, there = f"tt{os.getpid()}a", f"tt{os.getpid()}b"
    made = []
    try:
        for name in (here, there):
            if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode != 0:
                pytest.skip("needs the right to make network namespaces")
            made.append(name)
        run("ip", "-n", here, "link", "add", "wire0", "type", "veth", "peer", "name", "wire0", "netns", there)
        run("ip", "-n", there, "link", "set", "wire0", "address", "02:99:00:00:00:01")
        for name in made:
            run("ip", "-n", name, "link", "set", "wire0", "up")
        run("ip", "-n", there, "address", "add", "192.0.2.100/24", "dev", "wire0")
        run("ip", "-n", here, "address", "add", "192.0.2.11/24", "dev", "wire0")
        yield here, there
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "delete", name], check=False)


def ask(namespace: str, *addresses: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(
        run("ip", "netns", "exec", namespace, sys.executable, "-c", ASK, str(SOURCE.parent), *addresses)
    )
    return found


def test_another_machine_answers_and_nobody_answers_for_a_free_address(wire: tuple[str, str]) -> None:
    here, there = wire
    assert ask(here, "192.0.2.100", "192.0.2.101") == {"192.0.2.100": ["02:99:00:00:00:01"], "192.0.2.101": []}
    assert run("ip", "-n", there, "neighbour", "show", "192.0.2.11") == "", "a probe must not change anybody's table"


def test_an_address_of_ones_own_is_not_somebody_elses(wire: tuple[str, str]) -> None:
    _here, there = wire
    assert ask(there, "192.0.2.100") == {"192.0.2.100": []}


def test_an_interface_that_does_not_exist_is_a_clear_error() -> None:
    with pytest.raises(duplicate_address.ProbeError, match=r"interface absent0: No such device|no raw socket"):
        duplicate_address.find_holders([("absent0", "192.0.2.100")])
