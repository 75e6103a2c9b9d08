# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever two sites are called, nginx has no name of theirs twice: it would take neither."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

import pytest


@pytest.mark.parametrize("names", list(itertools.combinations(["a", "a-writes", "writes-a", "php-a", "writes-php-a"], 2)), ids="+".join)
def test_no_name_is_given_twice(names: tuple[str, str], rendered: Callable[..., str]) -> None:
    text = "".join(rendered(name=name, nginx_local_php_address="192.0.2.11") for name in names)
    for kind in (r"^upstream (\S+)", r"zone (\S+)", r"^map \S+ (\S+)"):
        found = re.findall(kind, text, re.MULTILINE)
        assert len(found) == len(set(found)) > 0, found


def test_what_writes_goes_to_the_servers_that_have_its_name(rendered: Callable[..., str]) -> None:
    text = rendered(nginx_local_php_address="192.0.2.11")
    (target,) = re.findall(r"^    default (\S+);", text, re.MULTILINE)
    assert f"upstream {target} {{" in text
