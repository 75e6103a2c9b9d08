# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import math

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils import bounds
from ansible_collections.tandem.lemp.plugins.module_utils.errors import Refused


@pytest.mark.parametrize("value", [-1, 61, math.nan, math.inf, -math.inf])
def test_a_number_that_makes_no_sense_is_refused(value):
    with pytest.raises(Refused, match=r"drain is .*, and has to be from 0 to 60. Nothing was changed."):
        bounds.require({"drain": value}, drain=(0, 60))


@pytest.mark.parametrize("value", [0, 60, 0.5, None])
def test_others_are_not(value):
    bounds.require({"drain": value}, drain=(0, 60))


def test_all_that_are_wrong_are_told_at_once():
    with pytest.raises(Refused, match=r"drain is -1.*keep is 0"):
        bounds.require({"drain": -1, "keep": 0}, drain=(0, 60), keep=(1, 1000))
