# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A directory is exactly as given, nothing is written without need, and nothing else is touched."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.tandem.lemp.plugins.modules import file_tree


@pytest.fixture(name="run")
def _run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> t.Callable[..., dict[str, t.Any]]:
    def run(files: dict[str, t.Any], **more: t.Any) -> dict[str, t.Any]:
        with patch_module_args({"path": str(tmp_path / "library"), "files": files, **more}), pytest.raises(SystemExit):
            file_tree.main()
        result: dict[str, t.Any] = json.loads(capsys.readouterr().out)
        return result

    return run


def names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "library").iterdir())


def test_create_change_remove_and_rest(run: t.Callable[..., dict[str, t.Any]], tmp_path: Path) -> None:
    assert run({"a.py": "one\n", "b.py": "two\n"})["written"] == ["a.py", "b.py"]
    assert run({"a.py": "one\n", "b.py": "two\n"})["changed"] is False
    assert run({"a.py": "one\n", "b.py": "three\n"})["written"] == ["b.py"]
    result = run({"a.py": "one\n"})
    assert (result["written"], result["removed"], result["changed"]) == ([], ["b.py"], True)
    assert names(tmp_path) == ["a.py"]
    assert (tmp_path / "library" / "a.py").stat().st_mode & 0o777 == 0o644


def test_check_mode_says_the_same_and_writes_nothing(run: t.Callable[..., dict[str, t.Any]], tmp_path: Path) -> None:
    assert run({"a.py": "one\n"}, _ansible_check_mode=True)["changed"] is True
    assert not (tmp_path / "library").exists()
    run({"a.py": "one\n"})
    result = run({"b.py": "two\n"}, _ansible_check_mode=True, _ansible_diff=True)
    assert (result["written"], result["removed"]) == (["b.py"], ["a.py"])
    assert [(part["before"], part["after"]) for part in result["diff"]] == [("", "two\n"), ("one\n", "")]
    assert names(tmp_path) == ["a.py"]


def test_wrong_mode_and_links_are_mended(run: t.Callable[..., dict[str, t.Any]], tmp_path: Path) -> None:
    run({"a.py": "one\n", "b.py": "two\n"})
    target = tmp_path / "elsewhere"
    target.write_text("one\n")
    (tmp_path / "library" / "a.py").unlink()
    (tmp_path / "library" / "a.py").symlink_to(target)
    (tmp_path / "library" / "b.py").chmod(0o666)
    assert run({"a.py": "one\n", "b.py": "two\n"})["written"] == ["a.py", "b.py"]
    assert target.read_text() == "one\n"
    assert not (tmp_path / "library" / "a.py").is_symlink()


def test_compiled_files_are_left_alone(run: t.Callable[..., dict[str, t.Any]], tmp_path: Path) -> None:
    run({"a.py": "one\n"})
    (tmp_path / "library" / "__pycache__").mkdir()
    assert run({"a.py": "one\n"})["changed"] is False
    assert names(tmp_path) == ["__pycache__", "a.py"]


@pytest.mark.parametrize("name", ["../a.py", "a/b.py", "", ".", "..", "__pycache__"])
def test_a_name_with_a_directory_is_refused(run: t.Callable[..., dict[str, t.Any]], name: str) -> None:
    assert "is not a plain file name" in run({name: "one\n"})["msg"]


def test_a_directory_of_somebody_else_is_refused(run: t.Callable[..., dict[str, t.Any]], tmp_path: Path) -> None:
    (tmp_path / "library" / "theirs").mkdir(parents=True)
    assert "has directories of its own (theirs)" in run({"a.py": "one\n"})["msg"]
