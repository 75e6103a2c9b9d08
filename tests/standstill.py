# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notices that the machine itself stood still.

A virtual machine whose host is busy stops as a whole, for seconds. What a test found then is about the machine: a pair gives its
addresses away, a server on loopback does not answer in time. Such a test is tried once more, and says so. One that failed while the
machine ran is never repeated.
"""

from __future__ import annotations

import threading
import time
import typing as t

if t.TYPE_CHECKING:
    import pytest

EVERY = 0.05


class Standstill:
    """Used in a with statement: how long this process did not run although it should have."""

    def __init__(self, every: float = EVERY, clock: t.Callable[[], float] = time.monotonic) -> None:
        self._every, self._clock = every, clock
        self._gaps: list[tuple[float, float]] = []  # when it ended, seconds
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="standstill", daemon=True)

    def _run(self) -> None:
        last, ends = self._clock(), False
        while not ends:
            ends = self._end.wait(self._every)
            now = self._clock()
            self._gaps.append((now, now - last - self._every))
            # Only one that is longer than all after it can ever be the longest.
            while len(self._gaps) > 1 and self._gaps[-2][1] <= self._gaps[-1][1]:
                del self._gaps[-2]
            last = now

    @property
    def longest(self) -> float:
        """Seconds, of all the time. When the statement has ended."""
        return max(0.0, *(seconds for _at, seconds in self._gaps))

    def lately(self, within: float) -> float:
        """Seconds: the longest that ended so many seconds before the statement did, or later."""
        end = self._gaps[-1][0]
        return max(0.0, *(seconds for at, seconds in self._gaps if end - at <= within))

    def __enter__(self) -> Standstill:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._end.set()
        self._thread.join()


def repeating(enough: float) -> t.Callable[[pytest.Item, pytest.Item | None], bool]:
    """The hook ``pytest_runtest_protocol`` for a conftest.py: a test that failed while the machine stood still for ``enough`` seconds
    gets a second try. A warning tells of it, with what the first one said.
    """
    import pytest
    from _pytest.runner import call_and_report

    def attempt(item: t.Any) -> tuple[list[pytest.TestReport], float]:
        if getattr(item, "_request", True) is False:
            item._initrequest()
        with Standstill() as still:
            reports = [call_and_report(item, "setup", log=False)]
            if reports[0].passed:
                reports.append(call_and_report(item, "call", log=False))
        return reports, still.longest

    def end(item: t.Any, nextitem: t.Any) -> pytest.TestReport:
        report = call_and_report(item, "teardown", log=False, nextitem=nextitem)
        item._request, item.funcargs = False, None
        return report

    def hook(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        reports, longest = attempt(item)
        if reports[-1].failed and longest >= enough:
            said = f"The machine stood still for {longest:.1f} s while this failed, so it is tried again:\n{reports[-1].longreprtext}"
            item.warn(pytest.PytestWarning(said))
            # As if another one of its module came next: what it shares with those is kept.
            undone = end(item, item.parent)
            reports = [undone] if undone.failed else attempt(item)[0]
        for report in (*reports, end(item, nextitem)):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    return hook
