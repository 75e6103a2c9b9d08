"""Every drill begins and ends with a whole pair."""

from __future__ import annotations

from collections.abc import Iterator

import pair
import pytest


@pytest.fixture(autouse=True)
def whole() -> Iterator[None]:
    pair.wait_until_whole()
    yield
    pair.wait_until_whole()
