"""The node image: a virgin Debian server, made on the spot from packages."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import packages
import sources
from shell import LABEL, STATE, LabError, as_root, podman, run, say, step

REPOSITORY = "localhost/tandem-lemp-node"
DISTROS = {"bookworm": "bookworm", "trixie": "trixie", "mysql": "trixie"}

SID_PIN = "Package: *\nPin: release n=sid\nPin-Priority: 50\n"
# Every node makes its own key at its first start: an image with keys would give all nodes the same.
HOSTKEY_UNIT = """\
[Unit]
Description=This node's own ssh host key
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key

[Install]
RequiredBy=ssh.service
"""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what is in the image."""

    distro: str
    suite: str
    sources: str
    apt_conf: str
    hook: str
    setup_hook: str

    @property
    def name(self) -> str:
        """Changes with the recipe, so that a changed recipe is a new image."""
        text = json.dumps([self.suite, self.sources, self.apt_conf, self.hook, self.setup_hook, packages.INSTALLED])
        return f"{REPOSITORY}:{self.distro}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _write(path: str, text: str) -> str:
    return f'printf %s {shlex.quote(text)} > "$1"{path}'


def recipe(distro: str) -> Recipe:
    """The recipe of one distribution."""
    suite = DISTROS[distro]
    with_mysql = distro == "mysql"
    apt_conf = sources.apt_settings()
    download = 'chroot "$1" apt-get -q -y --no-install-recommends --download-only install'
    setup = ["set -eu", 'mkdir -p "$1"/etc/apt/preferences.d "$1"/etc/apt/apt.conf.d "$1"/etc/dpkg/dpkg.cfg.d']
    if with_mysql:
        setup.append(_write("/etc/apt/preferences.d/sid", SID_PIN))
    hook = [
        "set -eu",
        _write("/etc/apt/apt.conf.d/90lab", apt_conf),
        _write("/etc/dpkg/dpkg.cfg.d/lab", "force-unsafe-io\n"),
        _write("/etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"),
        'rm -f "$1"/etc/ssh/ssh_host_*',
        _write("/etc/systemd/system/lab-hostkey.service", HOSTKEY_UNIT),
        'chroot "$1" systemctl enable lab-hostkey.service',
        'chroot "$1" apt-get clean',
        f"{download} {' '.join(packages.CACHED + (() if with_mysql else packages.MARIADB))}",
    ]
    if with_mysql:
        hook.append(f"{download} -t sid {' '.join(packages.MYSQL)}")
    return Recipe(
        distro, suite, sources.sources_list(suite, with_sid=with_mysql), apt_conf, "\n".join(hook) + "\n", "\n".join(setup) + "\n"
    )


def exists(name: str) -> bool:
    """Is the image in podman's store?"""
    return run(["podman", "image", "exists", name], check=False).returncode == 0


# Names of the images that were made from here.
MADE = STATE / "images"


def ensure(distro: str) -> str:
    """Name of the image, made now if it is not there yet."""
    wanted = recipe(distro)
    if exists(wanted.name):
        return wanted.name
    STATE.mkdir(exist_ok=True)
    with (STATE / f"image-{distro}.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not exists(wanted.name):
            with step(f"building image {distro} from Debian packages"):
                _build(wanted)
            with MADE.open("a", encoding="utf-8") as made:
                made.write(f"{wanted.name}\n")
            _forget_older(wanted)
    return wanted.name


def _build(wanted: Recipe) -> None:
    with tempfile.TemporaryDirectory(prefix="tandem-lab-") as directory:
        work = Path(directory)
        work.chmod(0o755)
        for file, text in (("sources.list", wanted.sources), ("hook", wanted.hook), ("setup", wanted.setup_hook), ("apt.conf", wanted.apt_conf)):
            (work / file).write_text(text, encoding="utf-8")
        make = [
            "mmdebstrap",
            "--quiet",
            "--mode=root",
            "--variant=minbase",
            f"--include={','.join(packages.INSTALLED)}",
            *(f"--aptopt={line}" for line in wanted.apt_conf.splitlines()),
            f"--setup-hook=sh {work}/setup \"$1\"",
            f"--customize-hook=sh {work}/hook \"$1\"",
            "--skip=cleanup/apt",
            wanted.suite,
            "-",
            str(work / "sources.list"),
        ]
        log = STATE / f"image-{wanted.distro}.log"
        load = ["podman", "import", "--quiet", "--change", 'CMD ["/sbin/init"]', "--change", f"LABEL {LABEL}=image", "-", wanted.name]
        with log.open("w", encoding="utf-8") as output:
            try:
                maker = subprocess.Popen(as_root(make), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=output)
            except FileNotFoundError:
                raise LabError("mmdebstrap is not installed: run make setup") from None
            loader = subprocess.run(as_root(load), stdin=maker.stdout, stdout=subprocess.DEVNULL, stderr=output, check=False)
            if maker.stdout is not None:
                maker.stdout.close()
            if maker.wait() != 0 or loader.returncode != 0:
                if loader.returncode == 0:
                    podman("rmi", "--force", wanted.name, check=False)
                tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
                raise LabError(f"the image could not be made; {log} ends with:\n{tail}")
    say(f"image {wanted.name} is ready")


def _forget_older(wanted: Recipe) -> None:
    """Images of earlier recipes, unless a node still uses them."""
    for name in podman("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"label={LABEL}").split():
        if name != wanted.name and name.startswith(f"{REPOSITORY}:{wanted.distro}-"):
            podman("rmi", name, check=False)


def remove_made() -> list[str]:
    """Remove the images that this checkout made and nobody else uses. Returns those that somebody uses."""
    made = sorted(set(MADE.read_text(encoding="utf-8").split())) if MADE.exists() else []
    for name in made:
        podman("rmi", name, check=False)
    return [name for name in made if exists(name)]
