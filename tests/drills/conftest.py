"""Every drill begins and ends with a whole pair."""

from __future__ import annotations

from collections.abc import Iterator

import pair
import pytest

_WHOLE = {"now": False}


@pytest.fixture(autouse=True)
def whole() -> Iterator[None]:
    if not _WHOLE["now"]:
        pair.wait_until_whole()
    _WHOLE["now"] = False
    yield
    pair.wait_until_whole()
    _WHOLE["now"] = True
