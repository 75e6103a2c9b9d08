"""One operation at a time."""

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.errors import Refused
from ansible_collections.tandem.lemp.plugins.module_utils.hand.lock import held, is_taken, take


def test_a_second_one_is_refused_and_told_who_has_it(tmp_path) -> None:
    with take("node-a", tmp_path / "lock"), pytest.raises(Refused, match=r"node-a \(process \d+\)"):
        take("node-a", tmp_path / "lock")


def test_whoever_waits_is_let_in_when_it_is_free(tmp_path) -> None:
    with held("node-a", path=tmp_path / "lock"):
        assert is_taken(tmp_path / "lock")
        with pytest.raises(Refused), held("node-a", patience=0.2, path=tmp_path / "lock"):
            pass
    assert not is_taken(tmp_path / "lock")
    with held("node-a", patience=0, path=tmp_path / "lock"):
        pass


def test_a_plan_needs_no_lock(tmp_path) -> None:
    with take("node-a", tmp_path / "lock"), held("node-a", really=False, path=tmp_path / "lock"):
        pass


def test_who_only_looks_takes_nothing(tmp_path) -> None:
    assert not is_taken(tmp_path / "none")
    assert not (tmp_path / "none").exists()
