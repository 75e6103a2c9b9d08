# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that make a replica are told."""

from __future__ import annotations

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.errors import Refused
from ansible_collections.tandem.lemp.plugins.module_utils.operations.asked import local_of


@pytest.mark.parametrize("seconds", [0, -1, 864001])
def test_a_copy_has_time(seconds: int) -> None:
    with pytest.raises(Refused, match=f"seed_timeout is {seconds}, and has to be from 1 to 864000. Nothing was changed."):
        local_of({"seed_timeout": seconds, "service": "mariadb"}, lambda _text: None)
