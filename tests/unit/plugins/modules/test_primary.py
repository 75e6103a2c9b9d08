# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fence of a person is in the way of every playbook that opens; what was opened is not given up for older data."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.tandem.lemp.plugins.module_utils.fence.record import Record
from ansible_collections.tandem.lemp.plugins.module_utils.hand.lock import held
from ansible_collections.tandem.lemp.plugins.module_utils.operations.opening import Outcome
from ansible_collections.tandem.lemp.plugins.module_utils.seed.datadir import DataDirectory
from ansible_collections.tandem.lemp.plugins.module_utils.state import ServerState
from ansible_collections.tandem.lemp.plugins.modules import primary


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_fenced_server_is_not_opened(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, check_mode: bool
) -> None:
    record = Record(tmp_path / "fence.json")
    record.keep("read_only", {"was_open": True})
    monkeypatch.setattr(primary, "Record", lambda: record)
    monkeypatch.setattr(primary, "look", lambda *_arguments: ServerState(state="running", read_only=True))
    monkeypatch.setattr(primary, "held", lambda name, really: held(name, really, path=tmp_path / "lock"))
    arguments = {"name": "node-a", "peer_host": "192.0.2.12", "_ansible_check_mode": check_mode}
    with patch_module_args(arguments), pytest.raises(SystemExit):
        primary.main()
    result = json.loads(capsys.readouterr().out)
    assert result["failed"] and "playbooks/unfence.yml -e node=node-a -e drivers=read_only" in result["msg"]


@pytest.mark.parametrize("check_mode", [True, False])
def test_what_takes_writes_is_never_given_up_for_what_was_there_before_a_copy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, check_mode: bool
) -> None:
    (tmp_path / "ibdata1").touch()
    directory = DataDirectory(str(tmp_path))
    directory.begin()
    directory.swap()
    state = ServerState(state="running", read_only=False)
    monkeypatch.setattr(primary, "look", lambda *_arguments: state)
    monkeypatch.setattr(primary, "held", lambda name, really: held(name, really, path=tmp_path / "lock"))
    monkeypatch.setattr(primary.Server, "at", lambda _endpoint: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(primary, "open_for_writes", lambda *_arguments, **_more: (Outcome({}, {}), None))
    arguments = {"name": "node-a", "peer_host": "192.0.2.12", "datadir": str(tmp_path), "_ansible_check_mode": check_mode}
    with patch_module_args(arguments), pytest.raises(SystemExit):
        primary.main()
    assert not json.loads(capsys.readouterr().out).get("failed")
    assert directory.interrupted() is check_mode
