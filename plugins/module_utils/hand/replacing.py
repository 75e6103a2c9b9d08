# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring this node back from whatever it has too many: that is saved, and the peer's data are copied over it."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ..connection import Endpoint
from ..errors import Refused
from ..operations.attaching import Local, Source
from ..operations.rejoin import rejoin
from ..runner import Runner
from ..seed.mariadb import Donor
from .config import HandConfig


def replace_data(config: HandConfig, source: Source, runner: Runner, seconds: float, say: t.Callable[[str], None]) -> dict[str, t.Any]:
    """Follows the peer afterwards. Raises what operations.rejoin raises; then the old data are there, but for a broken CLONE.

    seconds: for the copy. say: where progress goes.
    """
    if not config.operator_password:
        raise Refused("The operator's password is not on this node.", "Run playbooks/rejoin.yml.")
    peer = config.peer
    operator = Endpoint(host=peer.address, port=peer.port, user=config.operator_user, password=config.operator_password, ca=config.ca)
    local = Local(config.node.name, config.root(), config.datadir, config.database_service(), runner, Donor(peer.address, port=peer.ssh_port), seconds, say)
    done = rejoin(local, replace(source, endpoint=operator), replace=True, discard=False, dry_run=False, arm=False)
    return {
        "way": done.way,
        "reason": done.reason,
        "errant": done.errant,
        "actions": [*done.actions, *done.warnings],
        "saved": done.saved.directory if done.saved else "",
    }
