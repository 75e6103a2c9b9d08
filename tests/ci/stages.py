"""What each stage of "make test" runs."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "test"
TREE = CACHE / "tree" / "ansible_collections" / "tandem" / "lemp"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

_COPYING = threading.Lock()


@dataclass(frozen=True)
class Command:
    """One program; its name stands in the report when it fails."""

    argv: list[str]
    cwd: Path = ROOT
    env: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The program's name."""
        return " ".join(word for word in self.argv[:2] if not word.startswith("-")).rpartition("/")[2]


@dataclass(frozen=True)
class Stage:
    """Commands that belong together.

    Lab: the nodes it uses and leaves behind, 0 for none; stages of one lab run one after the other.
    Bad signs: what in the log means failure although the program said success.
    """

    name: str
    about: str
    commands: Callable[[bool], list[Command]]
    in_fast: bool = True
    lab: int = 0
    bad_signs: tuple[tuple[re.Pattern[str], str], ...] = ()


def tracked(*patterns: str) -> list[str]:
    """Files of the checkout, also those not committed yet, without what git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).exists()]


def lint(_fast: bool) -> list[Command]:
    """Text, style and types."""
    shell = [name for name in tracked() if name.endswith(".sh") or name == ".ci/run"]
    return [
        Command(["ansible-lint", "--offline", "--profile", "production"]),
        Command(["yamllint", "--strict", "."]),
        Command(["ruff", "check", "."]),
        Command(["mypy", "plugins/module_utils"]),
        Command(["mypy", "--cache-dir", str(CACHE / "mypy-lab"), *tracked("tests/lab/*.py")], env={"MYPYPATH": "tests:tests/lab:bench"}),
        Command(["shellcheck", *shell]),
    ]


def copy_tree() -> None:
    """ansible-test refuses a linked checkout: give it a real one, in a git of its own. Once for all stages."""
    with _COPYING:
        _copy_tree()


@functools.cache
def _copy_tree() -> None:
    TREE.mkdir(parents=True, exist_ok=True)
    names = "\0".join(tracked())
    subprocess.run(
        ["rsync", "--archive", "--delete", "--delete-missing-args", "--from0", "--files-from=-", f"{ROOT}/", f"{TREE}/"],
        input=names,
        text=True,
        check=True,
    )
    kept = {TREE / name for name in names.split("\0")}
    for file in [file for file in TREE.rglob("*") if (file.is_file() or file.is_symlink()) and ".git" not in file.relative_to(TREE).parts]:
        if file not in kept and "output" not in file.relative_to(TREE).parts:
            file.unlink()
    if not (TREE / ".git").exists():
        subprocess.run(["git", "init", "--quiet"], cwd=TREE, check=True)
    subprocess.run(["git", "add", "--all"], cwd=TREE, check=True)


def ansible_test_home() -> dict[str, str]:
    """A home of its own: ansible-test keeps environments there and looks there for pip's bootstrap script."""
    home = CACHE / "home"
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for version in ("24_2", "25_2"):
        shutil.copyfile(ROOT / "tests" / "ci" / "get_pip_shim.py", cache / f"get_pip_{version}.py")
    settings = Path.home() / ".config" / "pip"
    link = home / ".config" / "pip"
    if settings.is_dir() and not link.exists():
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(settings)
    return {"HOME": str(home)}


def sanity(fast: bool) -> list[Command]:
    """ansible-test's own checks; pylint takes longer than all others together and ruff finds most of it."""
    copy_tree()
    skipped = ["--skip-test", "pylint"] if fast else []
    test = ["ansible-test", "sanity", "--local", "--python", PYTHON, "--color", "no", *skipped]
    return [Command(test, cwd=TREE, env=ansible_test_home())]


def units(fast: bool) -> list[Command]:
    """All unit tests once: by pytest in the inner loop, otherwise by ansible-test, which runs the same ones as Galaxy users know it."""
    if fast:
        return [Command(["pytest", "-n", "2", "tests/unit"])]
    copy_tree()
    return [Command(["ansible-test", "units", "--local", "--python", PYTHON, "--color", "no"], cwd=TREE, env=ansible_test_home())]


def docs(_fast: bool) -> list[Command]:
    """Documentation of modules and roles; the changelog."""
    copy_tree()
    check = ["antsibull-docs", "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", "--validate-collection-refs=dependent", "."]
    return [Command(check, cwd=TREE), Command(["antsibull-changelog", "lint"], cwd=TREE)]


def package(_fast: bool) -> list[Command]:
    """The collection as a file: built, imported as Galaxy does, installed, its playbook found by name."""
    copy_tree()
    build, installed = CACHE / "build", CACHE / "installed"
    shutil.rmtree(build, ignore_errors=True)
    shutil.rmtree(installed, ignore_errors=True)
    version = re.search(r"^version: (\S+)$", (ROOT / "galaxy.yml").read_text(encoding="utf-8"), re.MULTILINE)
    archive = build / f"tandem-lemp-{version.group(1) if version else ''}.tar.gz"
    example = ROOT / "inventories" / "keepalived_atlas"
    inventory = example if example.exists() else ROOT / "inventories" / "lab"
    plain = {"ANSIBLE_COLLECTIONS_PATH": str(installed), "ANSIBLE_CONFIG": str(ROOT / "tests" / "ci" / "plain.cfg")}
    return [
        Command(["ansible-galaxy", "collection", "build", "--force", "--output-path", str(build)], cwd=TREE),
        # ansible-lint has a stage of its own, with a stricter profile.
        Command(
            [sys.executable, "-m", "galaxy_importer.main", str(archive)],
            cwd=build if build.exists() else CACHE,
            env={"GALAXY_IMPORTER_RUN_ANSIBLE_LINT": "False"},
        ),
        Command(
            ["ansible-galaxy", "collection", "install", "--offline", "--no-deps", "--collections-path", str(installed), str(archive)], env=plain
        ),
        Command(["ansible-playbook", "--syntax-check", "--inventory", str(inventory), "tandem.lemp.site"], cwd=CACHE, env=plain),
    ]


def on_nodes(name: str, about: str, scenario: str, net: int, actions: list[str], distro: str = "bookworm") -> Stage:
    """Actions of a scenario on real nodes of one distribution. Scenarios that name the same net use the same nodes one after the other."""
    env = {
        "TANDEM_LAB": f"mol{net}",
        "TANDEM_LAB_NET": str(net),
        "TANDEM_LAB_DISTRO": distro,
        "TANDEM_LAB_ENGINE": "mysql" if distro == "mysql" else "mariadb",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "MOLECULE_EPHEMERAL_DIRECTORY": str(CACHE / f"molecule{net}"),
        "ANSIBLE_FORCE_COLOR": "0",
        "NO_COLOR": "1",
        "PY_COLORS": "0",
        **({} if scenario == "atlas" else {"ATLAS_TREE": ""}),  # only there is a pair with Atlas
    }
    argvs = [["molecule", *action.split(), "--scenario-name", scenario, "--report"] for action in actions]
    # What molecule remembers of an earlier run is about nodes that are gone.
    commands = [Command(["molecule", "reset", "--scenario-name", scenario], env=env), *(Command(argv, env=env) for argv in argvs)]
    missing = (re.compile(r"missing=[1-9]"), "a molecule step without a playbook")
    return Stage(name, about, lambda _fast: commands, in_fast=False, lab=net, bad_signs=(missing,))


def take_down(nets: set[int]) -> Stage:
    """Ends the nodes of these labs."""
    argvs = [[sys.executable, "tests/lab/lab.py", "--name", f"mol{net}", "--net", str(net), verb] for net in sorted(nets) for verb in ("logs", "down")]
    return Stage("nodes", "keeping their logs, ending them", lambda _fast: [Command(argv) for argv in argvs])


# What Debian 13 could do otherwise shows when it is built; "check" on clean nodes is tried on Debian 12.
BUILT = ["destroy", "create", "converge", "idempotence", "side-effect", "verify"]
WHOLE = ["destroy", "syntax", "create", "check", *BUILT[2:]]

# Two run at a time, in this order. Three scenarios use a pair that another has built.
# The agent comes last, because it does by itself what the runbooks are tried for.
ALL = {
    stage.name: stage
    for stage in (
        on_nodes("bookworm", "a pair of Debian 12 nodes, MariaDB", "keepalived_atlas", 78, WHOLE),
        Stage("sanity", "ansible-test sanity", sanity),
        on_nodes("mysql", "a pair with MySQL", "runbooks_mysql", 81, ["destroy", "converge"], distro="mysql"),
        Stage("units", "unit tests", units),
        on_nodes("trixie", "a pair of Debian 13 nodes, MariaDB", "keepalived_atlas", 79, BUILT, distro="trixie"),
        on_nodes("runbooks-mysql", "every runbook, MySQL", "runbooks_mysql", 81, ["converge", "verify"], distro="mysql"),
        on_nodes("runbooks", "every runbook, MariaDB", "runbooks", 78, ["converge", "verify"]),
        on_nodes("agent", "the agent, MariaDB, Debian 13", "agent", 79, ["converge", "verify"], distro="trixie"),
        on_nodes("atlas", "Atlas, or the role as far as it goes without (ATLAS_TREE)", "atlas", 83, ["test"]),
        Stage("lint", "ansible-lint, yamllint, ruff, mypy, shellcheck", lint),
        Stage("package", "build, Galaxy import, install", package, in_fast=False, bad_signs=((re.compile(r"^ERROR", re.MULTILINE), "importer"),)),
        Stage("docs", "documentation and changelog", docs),
    )
}
