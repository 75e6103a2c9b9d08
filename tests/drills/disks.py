"""Disks of a node that are as full as a drill wants: file systems in memory whose size changes from one moment to the next."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pair
from pair import must, ssh

DATA = "/var/lib/mysql"
BACKUPS = "/var/backups/tandem-drill"


@dataclass(frozen=True)
class Disk:
    """One of them."""

    node: str
    path: str

    def leave(self, mib: int) -> None:
        """From now on so much is free."""
        must(ssh(self.node, self._shrink(mib)))

    def _shrink(self, mib: int) -> str:
        return f"mount -o remount,size=$(($(df --block-size=1 --output=used {self.path} | tail -n 1) + {mib} * 1048576)) {self.path}"

    @contextlib.contextmanager
    def filling(self, when: str, leave: int = 4) -> Iterator[None]:
        """It fills at the moment when a shell's condition on the node is true."""
        script = f"until {when}; do sleep 0.02; done; {self._shrink(leave)}; echo filled"
        watcher = subprocess.Popen(pair.ssh_argv(self.node, f"timeout 60 bash -c '{script}'"), stdout=subprocess.PIPE, text=True)
        try:
            yield
        finally:
            said, _none = watcher.communicate(timeout=90)
        assert said.strip() == "filled", f"it never came to: {when}"

    def contents(self) -> list[str]:
        """Names at its top."""
        return ssh(self.node, f"ls -A {self.path}").text.split()


@contextlib.contextmanager
def of_backups(node: str, mib: int) -> Iterator[Disk]:
    """An empty one."""
    must(ssh(node, f"mkdir -p {BACKUPS} && mount -t tmpfs -o size={mib}m,mode=0711 none {BACKUPS}"))
    try:
        yield Disk(node, BACKUPS)
    finally:
        must(ssh(node, f"umount {BACKUPS} && rmdir {BACKUPS}"))


@contextlib.contextmanager
def of_data(node: str) -> Iterator[Disk]:
    """The database of a replica moves there, and back to the data that it had, from which it catches up."""
    unit = pair.ENGINE
    must(ssh(node, f"systemctl stop {unit} && mkdir -p /mnt/drill && mount -t tmpfs -o size=8g none /mnt/drill && cp -a {DATA}/. /mnt/drill/"
                   f" && mount --bind /mnt/drill {DATA} && umount /mnt/drill && systemctl start {unit}"))  # fmt: skip
    try:
        yield Disk(node, DATA)
    finally:
        must(ssh(node, f"systemctl stop {unit}; umount {DATA} && systemctl reset-failed {unit}; systemctl start {unit}"))
