"""One operation at a time."""

import os
import stat
from pathlib import Path

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.errors import Refused
from ansible_collections.tandem.lemp.plugins.module_utils.hand import lock as module
from ansible_collections.tandem.lemp.plugins.module_utils.hand.lock import LOCK, held, is_taken, take


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


@pytest.mark.parametrize("umask", [0o000, 0o027, 0o077])
def test_it_is_made_with_the_same_mode_under_any_umask_where_only_root_may(tmp_path, umask: int) -> None:
    before = os.umask(umask)
    try:
        take("node-a", tmp_path / "tandem" / "lock").close()
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "tandem", tmp_path / "tandem" / "lock")] == [0o755, 0o640]
    assert LOCK.parent == Path("/run/tandem")


def test_one_that_is_there_keeps_its_mode(tmp_path) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / "lock").chmod(0o604)
    take("node-a", tmp_path / "lock").close()
    assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o604


def test_one_that_cannot_be_opened_is_not_held_by_anybody(tmp_path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        is_taken(tmp_path / "lock")


def test_agents_of_earlier_versions_see_it_where_they_look(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(module, "_FORMER", tmp_path / "former")
    monkeypatch.setattr(module, "_former", [])
    with take("node-a", tmp_path / "lock"):
        assert is_taken(tmp_path / "former")
    for descriptor in module._former:
        os.close(descriptor)


def test_whoever_is_in_the_way_there_stops_nothing(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(module, "_FORMER", tmp_path / "former")
    (tmp_path / "former").symlink_to(tmp_path / "elsewhere")
    with take("node-a", tmp_path / "lock"):
        assert is_taken(tmp_path / "lock")
    assert not (tmp_path / "elsewhere").exists()
