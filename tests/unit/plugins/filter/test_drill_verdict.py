# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter hands over what both nodes said, and names what is missing. What it judges: see module_utils/drill."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.tandem.lemp.plugins.filter.drill_verdict import FilterModule


def test_what_is_missing_is_named() -> None:
    verdict = FilterModule().filters()["drill_verdict"]
    with pytest.raises(AnsibleFilterError, match="seen, struck, present and role of both nodes: KeyError"):
        verdict({"node-a": {"seen": {}}, "node-b": {"seen": {}}}, fault="kill_database")
