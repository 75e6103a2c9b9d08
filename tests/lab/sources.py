"""Where packages come from: derived from how this machine's own apt is set up."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from shell import LabError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
APT = Path("/etc/apt")
# Settings of the host's apt that decide whether an archive can be reached and believed.
KEPT = re.compile(r'^Acquire::(?:Check-Valid-Until|Check-Date|https?::Proxy(?:::[^ ]+)?) ".+";$')


def host_codename() -> str:
    """bookworm, trixie, ..."""
    release = Path("/etc/os-release").read_text(encoding="utf-8")
    found = re.search(r"^VERSION_CODENAME=\"?(\w+)", release, re.MULTILINE)
    if not re.search(r"^ID=\"?debian\"?$", release, re.MULTILINE) or found is None:
        raise LabError("the lab needs a Debian host with a released version: node images are made from its package archive")
    return found.group(1)


def _deb822(text: str) -> Iterator[tuple[str, str, list[str]]]:
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in " \t" and name:
                fields[name] += " " + line.strip()
            elif ":" in line:
                name, _colon, value = line.partition(":")
                name = name.lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() == "no":
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield uri, suite, fields.get("components", "").split()


def _one_line(text: str) -> Iterator[tuple[str, str, list[str]]]:
    for line in text.splitlines():
        found = re.match(r"^deb\s+(?:\[[^\]]*\]\s*)?(\S+)\s+(\S+)\s+(\S.*)$", line.strip())
        if found:
            yield found.group(1), found.group(2), found.group(3).split("#")[0].split()


def archives() -> list[tuple[str, str]]:
    """(address, suite) of every entry of the host that belongs to its Debian release."""
    codename = host_codename()
    entries: list[tuple[str, str, list[str]]] = []
    files = [APT / "sources.list", *sorted((APT / "sources.list.d").glob("*"))]
    for file in files:
        if file.is_file() and file.suffix in (".list", ".sources"):
            text = file.read_text(encoding="utf-8")
            entries += _deb822(text) if file.suffix == ".sources" else _one_line(text)
    wanted = (codename, f"{codename}-updates", f"{codename}-security")
    found = [(uri, suite) for uri, suite, components in entries if suite in wanted and "main" in components]
    if not any(suite == codename for _uri, suite in found):
        raise LabError(f"no entry for {codename} main in {APT}/sources.list or sources.list.d")
    return list(dict.fromkeys(found))


def sources_list(suite: str, *, with_sid: bool = False) -> str:
    """sources.list for a node of that suite, from the same archives as the host's."""
    if not KEYRING.exists():
        raise LabError(f"{KEYRING} is missing: install debian-archive-keyring")
    codename = host_codename()
    lines = []
    for uri, entry in archives():
        lines.append(f"deb [signed-by={KEYRING}] {uri} {suite}{entry.removeprefix(codename)} main")
        if with_sid and entry == codename:
            lines.append(f"deb [signed-by={KEYRING} check-valid-until=no] {uri} sid main")
    return "\n".join(lines) + "\n"


def apt_settings() -> str:
    """apt.conf for a node: what the host had to set to reach its archives."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return "".join(f"{line}\n" for line in dump.splitlines() if KEPT.match(line))
