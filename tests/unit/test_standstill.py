# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Only a test that failed while the machine stood still is tried again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from standstill import Standstill

TESTS = Path(__file__).resolve().parents[1]
HOOK = f"import sys\nsys.path.insert(0, {str(TESTS)!r})\nfrom standstill import repeating\npytest_runtest_protocol = repeating(0.3)\n"
TRIED = """
import ctypes, pytest

tries = dict.fromkeys(("still", "ran", "never", "made", "shared"), 0)

def stand_still():
    ctypes.PyDLL(None).usleep(600_000)  # with the interpreter's lock: nothing of this process runs

@pytest.fixture(scope="module")
def shared():
    tries["shared"] += 1

@pytest.fixture
def made(shared):
    tries["made"] += 1
    yield tries["made"]

def count(name):
    tries[name] += 1
    return tries[name]

def test_still(made):
    stand_still()
    assert count("still") == 2 and made == 2

def test_shared():
    assert tries["shared"] == 1

def test_ran():
    assert count("ran") == 2

def test_never():
    stand_still()
    assert count("never") == 3
"""


def test_one_that_failed_while_the_machine_ran_is_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(HOOK, encoding="utf-8")
    (tmp_path / "test_tried.py").write_text(TRIED, encoding="utf-8")
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--color=no",
        "-rA",
        str(tmp_path),
    ]
    # Plugins that this run was given are about this collection.
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert "PASSED test_tried.py::test_still" in said and "PASSED test_tried.py::test_shared" in said, said
    assert (
        "FAILED test_tried.py::test_ran - AssertionError: assert 1 == 2" in said
        and "FAILED test_tried.py::test_never - AssertionError: assert 2 == 3" in said
    ), said
    assert said.count("so it is tried again") == 2, said


@pytest.mark.parametrize(("gaps", "longest", "lately"), [([0.0, 3.0, 0.2, 1.0, 0.0], 3.0, 1.0), ([0.0, 0.1], 0.1, 0.1), ([-0.001], 0.0, 0.0)])
def test_what_stood_still_long_before_the_end_is_told_apart(monkeypatch: pytest.MonkeyPatch, gaps: list[float], longest: float, lately: float) -> None:
    """One look every 10 s."""
    times = [1000.0]
    for gap in gaps:
        times.append(times[-1] + 10.0 + gap)
    clock, ends = iter(times), iter([False] * (len(gaps) - 1) + [True])
    still = Standstill(10.0, lambda: next(clock, 0.0))
    monkeypatch.setattr(still._end, "wait", lambda _seconds: next(ends, True))
    still._run()
    assert (round(still.longest, 3), round(still.lately(25.0), 3)) == (longest, lately)
