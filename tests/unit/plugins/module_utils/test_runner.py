# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service is waited for as long as systemd waits for it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.runner import CommandFailed, Result, Runner, Service


class Systemd(Runner):
    """Says how long a unit may take, and does whatever it is told within some seconds."""

    def __init__(self, may_take: str, takes: float) -> None:
        self.may_take, self.takes = may_take, takes

    def run(self, argv: Any, timeout: float = 60, check: bool = True) -> Result:
        if argv[1] == "show":
            return Result(tuple(argv), 0, f"{self.may_take}\n", "")
        late = argv[1] in ("stop", "restart") and timeout < self.takes
        if late and check:
            raise CommandFailed(Result(tuple(argv), 124, "", f"not done after {timeout:g} s"))
        return Result(tuple(argv), 124 if late else 0, "", "")


@pytest.mark.parametrize("verb", ["stop", "restart"])
@pytest.mark.parametrize(
    ("may_take", "takes"),
    [("15min", 890), ("1min 30s", 89), ("infinity", 3000), ("", 110), ("2 moons", 110), ("0", 110), ("500ms", 110)],
)
def test_a_server_that_takes_its_time_is_waited_for(verb: str, may_take: str, takes: float) -> None:
    getattr(Service("mariadb", Systemd(may_take, takes)), verb)()


@pytest.mark.parametrize("verb", ["stop", "restart"])
def test_but_not_for_ever(verb: str) -> None:
    with pytest.raises(CommandFailed, match="mariadb ended with 124"):
        getattr(Service("mariadb", Systemd("1min 30s", 500)), verb)()
