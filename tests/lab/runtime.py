"""What this machine's container runtime needs, found out rather than assumed."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
from pathlib import Path

from shell import STATE, LabError, podman, run, say

CAP_SYS_RESOURCE = 24
# cgroup v1: the group that podman puts all containers in. Kernels that divide real time among groups give it none by default.
CPU_GROUP = Path("/sys/fs/cgroup/cpu/libpod_parent")
# Of each second, in microseconds: of all containers, and of one node (keepalived, which needs about 10000).
ALL_REAL_TIME = 850000
NODE_REAL_TIME = 60000
# A controller is another machine in real life: what it does may not take the processor from the nodes. A process has 1024.
CPU_SHARES = 4096
ENOUGH_INOTIFY = 1024


def _may_raise_limits() -> bool:
    """May this machine's root raise its limits? (Inside some virtual machines it may not.)"""
    if os.geteuid() != 0:
        return True
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> CAP_SYS_RESOURCE & 1)
    return True


def _limit(kind: int, wanted: int) -> int:
    hard = resource.getrlimit(kind)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _divides_real_time() -> bool:
    return os.geteuid() == 0 and (CPU_GROUP.parent / "cpu.rt_runtime_us").exists()


def real_time() -> list[str]:
    """Options for a node whose keepalived may run at once, as on a machine of its own."""
    return [f"--cpu-rt-runtime={NODE_REAL_TIME}"] if _divides_real_time() else []


def make_room() -> None:
    """What all nodes together need of this machine; before any of them starts."""
    _make_room_for_systemd()
    if _divides_real_time():
        CPU_GROUP.mkdir(exist_ok=True)
        _forget_the_dead()
        for name, value in (("cpu.rt_runtime_us", ALL_REAL_TIME), ("cpu.shares", CPU_SHARES)):
            file = CPU_GROUP / name
            if int(file.read_text(encoding="ascii")) < value:
                file.write_text(str(value), encoding="ascii")


def _forget_the_dead() -> None:
    """A node that was killed can leave its empty group behind, and with it its share of real time."""
    known = set(podman("ps", "--all", "--no-trunc", "--format", "{{.ID}}").split())
    for group in CPU_GROUP.glob("libpod-*"):
        if group.name.removeprefix("libpod-") not in known:
            for inner in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
                with contextlib.suppress(OSError):
                    inner.rmdir()
            with contextlib.suppress(OSError):  # somebody is in it
                group.rmdir()


def _make_room_for_systemd() -> None:
    """Each node's systemd takes several inotify instances of root's 128: a second lab would boot with failed units."""
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    if int(limit.read_text(encoding="ascii")) < ENOUGH_INOTIFY:
        say(f"raising fs.inotify.max_user_instances to {ENOUGH_INOTIFY} until this machine reboots")
        run(["sysctl", "-q", "-w", f"fs.inotify.max_user_instances={ENOUGH_INOTIFY}"])


def prepare() -> None:
    """Point podman to a configuration of our own where its defaults do not fit this machine."""
    engine: list[str] = []
    containers: list[str] = []
    if not Path("/sys/fs/cgroup/cgroup.controllers").exists():
        if shutil.which("runc") is None and not Path("/usr/sbin/runc").exists():
            raise LabError("this machine has cgroup v1, where crun refuses to work, and runc is missing: run make setup")
        engine = ['runtime = "runc"']
    if not _may_raise_limits():
        files = _limit(resource.RLIMIT_NOFILE, 16384)
        processes = _limit(resource.RLIMIT_NPROC, 32768)
        containers = [f'default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]']
    if not engine and not containers:
        return
    STATE.mkdir(exist_ok=True)
    text = "\n".join(["[engine]", *engine, "[containers]", *containers, ""])
    file = STATE / "containers.conf"
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        file.write_text(text, encoding="utf-8")
    os.environ["CONTAINERS_CONF"] = str(file)
