# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What root's look believes: nothing that a site wrote into its own directory but one key."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLE = Path(__file__).resolve().parents[4] / "roles" / "file_sync"
ME = pwd.getpwuid(os.getuid()).pw_name
COMMENT = "tandem-file-sync shop-uploads"


def load(path: str) -> Any:
    return DataLoader().load_from_file(str(ROLE / path), trusted_as_template=True)


class Node:
    """The state of one job, and what asks for it. runuser is replaced: it says whom it was asked for, and runs as this user."""

    def __init__(self, work: Path) -> None:
        self.work, self.private = work, work / "state" / "shop-uploads" / "private"
        self.private.mkdir(parents=True)
        self.key = self.private / "id_ed25519"
        (work / "bin").mkdir()
        runuser = work / "bin" / "runuser"
        runuser.write_text(f'#!/bin/sh\n[ "$1" = -u ] || exit 1\necho "$2" >>{work}/asked\nshift 3\nAS_USER=1 exec "$@"\n')
        runuser.chmod(0o755)
        self.known = {
            **load("vars/main.yml"),
            "__file_sync_state": str(work / "state"),
            "__file_sync_libraries": str(work / "library"),
            "file_sync_jobs": [{"name": "shop-uploads", "user": ME, "method": "rsync"}],
        }

    def make(self) -> str:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", COMMENT, "-f", self.key], check=True)
        return " ".join(self.public.read_text().split()[:2])

    @property
    def public(self) -> Path:
        return self.key.with_suffix(".pub")

    def look(self) -> tuple[list[str], dict[str, Any]]:
        """The lines, and what was made of them."""
        see, sort = load("tasks/look.yml")
        argv = Templar(loader=DataLoader(), variables={**self.known, **see["vars"]}).template(see["ansible.builtin.command"]["argv"])
        done = subprocess.run(
            argv, check=True, capture_output=True, text=True, timeout=60, env={**os.environ, "PATH": f"{self.work}/bin:{os.environ['PATH']}"}
        )
        lines = done.stdout.splitlines()
        known = {**self.known, "__file_sync_seen": {"stdout_lines": lines}}
        templar = Templar(loader=DataLoader(), variables=known)
        return lines, {name: templar.template(text) for name, text in sort["ansible.builtin.set_fact"].items()}


@pytest.fixture(name="node")
def _node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_good_key_is_seen_by_the_jobs_user(node: Node) -> None:
    assert node.look()[1]["__file_sync_public"] == {}
    key = node.make()
    assert node.look()[1]["__file_sync_public"] == {"shop-uploads": key}
    assert set((node.work / "asked").read_text().split()) == {ME}
    node.key.chmod(0o640)
    assert node.look()[1]["__file_sync_public"] == {}


@pytest.mark.parametrize("place", ["id_ed25519", "id_ed25519.pub"])
def test_a_link_is_not_read(node: Node, place: str) -> None:
    node.make()
    secret = node.work / "secret"
    (node.private / place).rename(secret)
    (node.private / place).symlink_to(secret)
    lines, facts = node.look()
    assert facts["__file_sync_public"] == {}
    assert not [line for line in lines if line.startswith("public ")]


@pytest.mark.parametrize("forged", ["timer keepalived.service", "nouser www-data", "tool unison", "code 0  x.py"])
def test_lines_beside_the_key_are_not_seen(node: Node, forged: str) -> None:
    key = node.make()
    node.public.write_text(f"{key} {COMMENT}\n{forged}\n")
    lines, facts = node.look()
    assert forged not in lines
    assert facts["__file_sync_public"] == {}


def test_only_our_own_timers_are_timers(node: Node) -> None:
    _see, sort = load("tasks/look.yml")
    lines = ["timer tandem-file-sync@shop-uploads.timer", "timer keepalived.service", "timer tandem-file-sync@../x.timer"]
    templar = Templar(loader=DataLoader(), variables={**node.known, "__file_sync_seen": {"stdout_lines": lines}})
    assert templar.template(sort["ansible.builtin.set_fact"]["__file_sync_timers"]) == ["tandem-file-sync@shop-uploads.timer"]


def test_what_is_no_key_is_not_told(node: Node) -> None:
    make, tell = load("tasks/keypairs.yml")[-2:]
    assert make["ansible.builtin.command"]["argv"][:2] == ["runuser", "-u"]
    for said, key in (("ssh-ed25519 AAAA==", "ssh-ed25519 AAAA=="), ("ssh-ed25519 AAAA\nssh-rsa AAAA", ""), ("root:$6$x:1", ""), (None, "")):
        result = {"item": {"name": "shop-uploads"}, **({} if said is None else {"stdout": said})}
        known = {**node.known, "__file_sync_keypairs": {"results": [result]}, "__file_sync_public": {}}
        told = Templar(loader=DataLoader(), variables=known).template(tell["ansible.builtin.set_fact"]["file_sync_public_keys"])
        assert told == {"shop-uploads": key}
