# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operation asks of the Atlas of its node, against what a real one said."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.errors import Refused, TandemError
from ansible_collections.tandem.lemp.plugins.module_utils.hand import splitting
from ansible_collections.tandem.lemp.plugins.module_utils.hand.config import AtlasPort

from .replay import Server, free_port, recorded, replaying
from .test_admin import M1, there

SEQ = recorded("admin_seq_offline_online")


def node(*servers: Server) -> Any:
    ends = [there(server) for server in servers]
    return SimpleNamespace(node=SimpleNamespace(name="node-a"), atlas=tuple(AtlasPort(end.host, end.port, end.user, end.password) for end in ends))


def test_the_writer_goes_offline_here_only_and_comes_back() -> None:
    with replaying(SEQ, 10) as own, replaying(SEQ, 10) as peer:
        config = node(own, peer)
        used = splitting.writers(config)
        assert used == [M1]
        assert "offline" in splitting.offline(config, used)
        assert splitting.writers(config) == []
        splitting.online(config, used)
        assert splitting.writers(config) == [M1]
        assert peer.heard == []


def test_what_somebody_else_took_offline_stays_so() -> None:
    with replaying(SEQ) as own:
        config = node(own)
        assert splitting.offline(config, []) == "offline already"
        splitting.online(config, [])
        assert own.heard == []


def test_a_node_without_atlas_and_one_that_does_not_answer_say_so() -> None:
    with pytest.raises(Refused, match="node-a has no Atlas"):
        splitting.writers(node())
    nobody = SimpleNamespace(node=SimpleNamespace(name="node-a"), atlas=(AtlasPort("127.0.0.1", free_port(), "user", "pw"),))
    with pytest.raises(TandemError, match="Nobody takes connections"):
        splitting.writers(nobody)
