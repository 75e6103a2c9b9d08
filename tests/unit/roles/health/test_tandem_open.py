# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tandem open: the order is given where it can be followed, and nowhere else."""

from __future__ import annotations

import contextlib
import http.server
import importlib.util
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[4]
DEAD = {"node": "node-a", "alive": False, "state": None, "agent": None}
ALIVE = {"node": "node-a", "alive": True, "state": {"role": "replica"}, "agent": {"database": "closed"}}
REPLICA = {"node": "node-b", "database": {"role": "replica"}, "agent": {"state": "replica"}, "peer": DEAD}


@pytest.fixture
def tandem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """As on a node: beside the engine, and with a daemon that answers."""
    (tmp_path / "tandem_engine").symlink_to(ROOT / "plugins" / "module_utils")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec = importlib.util.spec_from_file_location("tandem_main", ROOT / "roles" / "health" / "files" / "tandem_main.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    class Daemon(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(module.answer).encode())

        def log_message(self, *_words: object) -> None:
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Daemon) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setattr(module, "URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr(module, "DIRECTORY", str(tmp_path))
        yield module
        server.shutdown()
        thread.join()
    for name in [name for name in sys.modules if name.partition(".")[0] == "tandem_engine"]:
        del sys.modules[name]


def given(tandem: ModuleType, seen: dict[str, Any], yes: bool = True) -> dict[str, Any]:
    """What is written down. Raises Refused."""
    tandem.answer = seen  # type: ignore[attr-defined]
    try:
        assert tandem.order_open(SimpleNamespace(yes=yes)) == 0
    finally:
        said = tandem.Store(tandem.DIRECTORY).said()
    return dict(said)


@pytest.mark.parametrize("peer", [DEAD, ALIVE])
def test_the_order_is_given_with_its_moment(tandem: ModuleType, peer: dict[str, Any]) -> None:
    """A peer that lives and is closed as well: nobody knew whose data are newer, and a person does."""
    said = given(tandem, {**REPLICA, "peer": peer})
    assert said["order"] == "open"
    assert said["order_at"] > 0 and len(said["order_boot"]) == 36


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        ({**REPLICA, "peer": {**ALIVE, "state": {"role": "primary"}}}, "node-a is alive, and its database takes writes"),
        ({**REPLICA, "peer": {**ALIVE, "agent": {"database": "open"}}}, "node-a is alive, and its database takes writes"),
        ({**REPLICA, "database": {"role": "primary"}}, "takes writes already"),
        ({name: value for name, value in REPLICA.items() if name != "agent"}, "No agent runs"),
        ({**{name: value for name, value in REPLICA.items() if name != "agent"}, "agent_problem": "the disk is away"}, "could not start: the disk is away"),
    ],
)
def test_it_is_refused_where_it_would_wait_for_a_bad_moment(tandem: ModuleType, seen: dict[str, Any], why: str) -> None:
    with pytest.raises(tandem.Refused, match=why):
        given(tandem, seen)
    assert tandem.Store(tandem.DIRECTORY).said() == {}


def test_it_is_refused_without_yes_and_without_a_daemon(tandem: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(tandem.Refused, match="surely off"):
        given(tandem, REPLICA, yes=False)
    monkeypatch.setattr(tandem, "URL", "http://127.0.0.1:9")
    with pytest.raises(tandem.Refused, match="does not answer"):
        given(tandem, REPLICA)


def test_the_cool_down_is_told_as_what_it_holds_up(tandem: ModuleType) -> None:
    assert tandem._cooling({"cooldown_until": None}) == ""
    assert tandem._cooling({"cooldown_until": 1000.0}).startswith(", not after the end of the database alone before ")


def test_what_unfence_says_to_run_names_the_node(tandem: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(tandem.HandConfig, "load", lambda: SimpleNamespace(node=SimpleNamespace(name="node-b")))
    monkeypatch.setattr(tandem.fences, "unfence_here", lambda _config, _dead: (SimpleNamespace(actions=[], proof={}), ["grants"]))
    tandem.unfence(SimpleNamespace(peer_is="unknown"))
    assert "playbooks/unfence.yml -e node=node-b -e drivers=grants" in capsys.readouterr().out


class Hands:
    """Both nodes as their hands see them; node-a is the primary and has the addresses."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen = {"server": {"writable": name == "node-a"}, "holds_any_vip": name == "node-a", "holds_vips": name == "node-a"}

    def call(self, message: str, *_more: object, **_said: object) -> Any:
        assert message in ("observe", "begin", "end"), message
        return self.seen if message == "observe" else []


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("runs_on", ["node-a", "node-b"])
def test_a_switchover_to_the_primary_is_nothing_to_do(
    tandem: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], runs_on: str, keep: bool
) -> None:
    other = "node-b" if runs_on == "node-a" else "node-a"
    tandem.answer = {"database": {"role": "primary" if runs_on == "node-a" else "replica"}}  # type: ignore[attr-defined]
    monkeypatch.setattr(tandem.HandConfig, "load", lambda: SimpleNamespace(node=SimpleNamespace(name=runs_on), peer=SimpleNamespace(name=other)))
    monkeypatch.setattr(tandem.running, "hands", lambda _config: contextlib.nullcontext((Hands(runs_on), Hands(other))))
    assert tandem.switch_over(SimpleNamespace(to="node-a", keep_addresses=keep, atlas_offline=False, plan=False)) == 0
    assert "of node-b to node-a: nothing to do" in capsys.readouterr().out
