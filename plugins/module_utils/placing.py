# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and directories as they shall be: look, compare, try all new ones, swap them in.

What is new is written beside its place, under a name that begins with a dot, and tried there.
Nothing is swapped before everything new was found good.
"""

from __future__ import annotations

import fnmatch
import grp
import os
import pwd
import secrets
import shlex
import shutil
import stat
import tempfile
import typing as t
from dataclasses import dataclass

from .errors import TandemError
from .runner import Runner
from .walking import LinkError, Places

KEPT = "__pycache__"
_SUFFIX = ".tandem-new"
FORMER = ".before-tandem"
OURS = b"Ansible managed"


class PlacingError(TandemError):
    """A file could not be put in place. The message names it."""


@dataclass(frozen=True)
class Entry:
    """One path as it shall be. None: owner, group or mode stay as they are (new: of the caller, 0644 or 0755)."""

    path: str
    state: str = "file"
    content: str = ""
    owner: str | None = None
    group: str | None = None
    mode: int | None = None
    validate: str = ""
    sensitive: bool = False
    prune: tuple[str, ...] = ()
    keep_behind_link: bool = False
    keep_mode: bool = False
    keep_former: bool = False

    @property
    def data(self) -> bytes:
        """The content in bytes."""
        return self.content.encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Seen:
    """What is there. kind: absent, file, directory, or other (a link where a file shall be, a device)."""

    kind: str
    uid: int = -1
    gid: int = -1
    mode: int = -1
    data: bytes = b""


@dataclass(frozen=True)
class Change:
    """What differs. uid, gid and mode are those wanted; None: unchanged, or (only in check mode) not known yet."""

    entry: Entry
    seen: Seen
    uid: int | None
    gid: int | None
    mode: int
    content: bool
    attributes: bool

    @property
    def path(self) -> str:
        return self.entry.path


def look(places: Places, entry: Entry) -> Seen:
    """See what is at a path. A directory may be a link to one, where that is root's; a file may not."""
    try:
        if entry.state == "directory":
            return _seen("directory", os.stat(".", dir_fd=places.directory(entry.path)))
    except (FileNotFoundError, NotADirectoryError):
        pass  # something else may be there
    status = places.status(entry.path)
    if status is None:
        return Seen("absent")
    if stat.S_ISDIR(status.st_mode):
        return _seen("directory", status)
    if not stat.S_ISREG(status.st_mode):
        return _seen("other", status)
    with open(_file(places, entry.path), "rb") as handle:
        return _seen("file", os.fstat(handle.fileno()), handle.read())


def _seen(kind: str, status: os.stat_result, data: bytes = b"") -> Seen:
    return Seen(kind, status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), data)


def _file(places: Places, path: str) -> int:
    """A descriptor of a plain file, to read. Raises OSError where a link or something else took its place."""
    where, name = os.path.split(path)
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=places.directory(where))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("it is no plain file any more")
    return descriptor


def number(name: str | None, what: str, path: str, may_be_missing: bool) -> tuple[int | None, bool]:
    """The number of a user or group, and whether it is known. A clean host in check mode does not know them yet."""
    if name is None:
        return None, True
    try:
        return (pwd.getpwnam(name).pw_uid if what == "user" else grp.getgrnam(name).gr_gid), True
    except KeyError:
        if name.isdigit():
            return int(name), True
        if may_be_missing:
            return None, False
        raise PlacingError(f"{path}: there is no {what} {name!r}.", f"Make the {what} first.") from None


def compare(places: Places, entry: Entry, check: bool = False) -> Change | None:
    """What has to be done for an entry; None: nothing."""
    try:
        seen = look(places, entry)
    except LinkError:
        if not (entry.keep_behind_link and os.path.isdir(entry.path)):
            raise
        return None
    except OSError as error:
        raise PlacingError(f"{entry.path} cannot be looked at: {error}.") from error
    if entry.state == "absent":
        if seen.kind == "directory":
            raise PlacingError(f"{entry.path} is a directory and is not removed.")
        return None if seen.kind == "absent" else Change(entry, seen, None, None, 0, True, False)
    if seen.kind != entry.state and (seen.kind == "directory" or (entry.state == "directory" and seen.kind != "absent")):
        raise PlacingError(f"{entry.path} shall be a {entry.state} and is {seen.kind}.", "Move it away.")
    uid, owner_known = number(entry.owner, "user", entry.path, check)
    gid, group_known = number(entry.group, "group", entry.path, check)
    there = seen.kind == entry.state
    kept = there and entry.keep_mode and entry.state == "directory"
    usual = 0o755 if entry.state == "directory" else 0o644
    mode = entry.mode if entry.mode is not None and not kept else seen.mode if there else usual
    content = not there or (entry.state == "file" and seen.data != entry.data)
    attributes = there and (
        not (owner_known and group_known) or uid not in (None, seen.uid) or gid not in (None, seen.gid) or mode != seen.mode
    )
    return Change(entry, seen, uid, gid, mode, content, attributes) if content or attributes else None


def strangers(places: Places, entries: t.Sequence[Entry]) -> list[Entry]:
    """Files that match a pattern of their directory and are nobody's entry: to be removed."""
    named = {entry.path for entry in entries}
    found = []
    for entry in entries:
        if not entry.prune or look(places, entry).kind != "directory":
            continue
        for name in places.names(entry.path):
            path = os.path.join(entry.path, name)
            if path in named or name == KEPT or not any(fnmatch.fnmatchcase(name, pattern) for pattern in entry.prune):
                continue
            status = places.status(path)
            if status is not None and stat.S_ISDIR(status.st_mode):
                raise PlacingError(f"{path} is a directory and is not removed, though {entry.path} shall not have it.")
            found.append(Entry(path, "absent", sensitive=entry.sensitive))
    return found


def plan(entries: t.Sequence[Entry], check: bool = False) -> list[Change]:
    """All that has to be done, in the order of the entries; removals of strangers come last."""
    paths = [entry.path for entry in entries]
    for entry in entries:
        if not entry.path.startswith("/") or os.path.normpath(entry.path) != entry.path:
            raise PlacingError(f"{entry.path!r} is not an absolute path in its plain form.")
        if paths.count(entry.path) > 1:
            raise PlacingError(f"{entry.path} is named more than once.")
        if entry.validate and "%s" not in entry.validate:
            raise PlacingError(f"{entry.path}: validate has no %s, which stands for the new file.")
    with Places() as places:
        changes = [compare(places, entry, check) for entry in [*entries, *strangers(places, entries)]]
    return [change for change in changes if change is not None]


def act(changes: t.Sequence[Change], runner: Runner, validate_all: str = "") -> None:
    """Do it. Raises PlacingError, before any file was swapped if one of the new ones is not good."""
    staged: dict[str, str] = {}
    with Places() as places:
        for change in changes:
            if change.entry.state == "directory":
                _directory(places, change)
        try:
            for change in changes:
                if change.entry.state == "file" and change.content:
                    staged[change.path] = _stage(places, change)
            for change in changes:
                if change.path in staged and change.entry.validate:
                    _try(runner, change.entry.validate, staged[change.path], f"The new {change.path} was refused and not put in place")
            removed = [change.path for change in changes if change.entry.state == "absent"]
            if validate_all and (staged or removed):
                _try_together(runner, validate_all, staged, removed)
            for change in changes:
                if change.entry.keep_former and change.path in staged:
                    _keep(places, change)
            for change in changes:
                _swap(places, change, staged)
        finally:
            for path in staged.values():
                _unlink(places, path)


def _directory(places: Places, change: Change) -> None:
    try:
        _attributes(places.directory(change.path, make=True), change)
    except OSError as error:
        raise PlacingError(f"{change.path} could not be made: {error}.") from error


def _attributes(target: int, change: Change) -> None:
    """Owner and group first: a change of them takes the special bits away. By descriptor, since another thing may take the name."""
    uid, gid = -1 if change.uid is None else change.uid, -1 if change.gid is None else change.gid
    if change.entry.state == "directory":
        os.chown(".", uid, gid, dir_fd=target)
        os.chmod(".", change.mode, dir_fd=target)
    else:
        os.fchown(target, uid, gid)
        os.fchmod(target, change.mode)


def _stage(places: Places, change: Change) -> str:
    """Write the new file beside its place, with its final owner and mode, and safe on the disk."""
    directory, name = os.path.split(change.path)
    new = f".{name}.{secrets.token_hex(4)}{_SUFFIX}"
    path = os.path.join(directory, new)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(new, flags, 0o600, dir_fd=places.directory(directory, make=True))
    except OSError as error:
        raise PlacingError(f"{change.path} could not be written: {error}.") from error
    try:
        with open(descriptor, "wb") as handle:
            handle.write(change.entry.data)
            handle.flush()
            if change.seen.kind == "file":
                os.fchown(descriptor, change.seen.uid, change.seen.gid)
            _attributes(descriptor, change)
            os.fsync(descriptor)
    except OSError as error:
        _unlink(places, path)
        raise PlacingError(f"{change.path} could not be written: {error}.") from error
    return path


def _unlink(places: Places, path: str) -> None:
    where, name = os.path.split(path)
    os.unlink(name, dir_fd=places.directory(where))


def _try(runner: Runner, command: str, candidate: str, refusal: str) -> None:
    argv = [word.replace("%s", candidate) for word in shlex.split(command)]
    done = runner.run(argv, check=False)
    if done.status != 0:
        said = "\n".join(part.strip() for part in (done.stderr, done.stdout) if part.strip())[-2000:]
        raise PlacingError(f"{refusal}: {argv[0]} ended with {done.status}: {said or 'it said nothing'}")


def _try_together(runner: Runner, command: str, staged: dict[str, str], removed: list[str]) -> None:
    """Try all of it in one go: new/ holds the new files under their full paths, removed names those that go."""
    with tempfile.TemporaryDirectory(prefix="tandem-files-") as work:
        os.mkdir(os.path.join(work, "new"))
        for path, candidate in staged.items():
            copy = os.path.join(work, "new", path.lstrip("/"))
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            shutil.copyfile(candidate, copy)
        with open(os.path.join(work, "removed"), "w", encoding="utf-8", errors="surrogateescape") as handle:
            handle.writelines(f"{path}\n" for path in removed)
        what = ", ".join([*staged, *removed])
        _try(runner, command, work, f"The change of {what} was refused and not made")


def _keep(places: Places, change: Change) -> None:
    """Keep beside it what somebody else wrote; what was kept once stays. Raises PlacingError, before any file was swapped."""
    seen = change.seen
    if seen.kind != "file" or OURS in seen.data:
        return
    where, name = os.path.split(change.path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(name + FORMER, flags, 0o600, dir_fd=places.directory(where))
    except FileExistsError:
        return
    except OSError as error:
        raise PlacingError(f"{change.path}{FORMER} could not be written: {error}.") from error
    try:
        with open(descriptor, "wb") as handle:
            handle.write(seen.data)
            handle.flush()
            os.fchown(descriptor, seen.uid, seen.gid)
            os.fchmod(descriptor, seen.mode)
            os.fsync(descriptor)
    except OSError as error:
        _unlink(places, change.path + FORMER)
        raise PlacingError(f"{change.path}{FORMER} could not be written: {error}.") from error


def _swap(places: Places, change: Change, staged: dict[str, str]) -> None:
    """The one step in which a file changes."""
    if change.entry.state == "directory":
        return  # made before
    where, name = os.path.split(change.path)
    try:
        if change.path in staged:
            there = places.directory(where)
            os.replace(os.path.basename(staged[change.path]), name, src_dir_fd=there, dst_dir_fd=there)
            del staged[change.path]
        elif change.entry.state == "absent":
            _unlink(places, change.path)
        else:
            with open(_file(places, change.path), "rb") as handle:
                _attributes(handle.fileno(), change)
            return
        places.sync(where)
    except OSError as error:
        raise PlacingError(f"{change.path} could not be put in place: {error}.", "Files named before it are in place.") from error


def difference(change: Change) -> list[dict[str, str]]:
    """Before and after, as diff mode shows them."""
    entry, seen = change.entry, change.seen
    parts = []
    if entry.state != "directory" and change.content:
        before = seen.data.decode("utf-8", "replace")
        after = entry.content if entry.state == "file" else ""
        if entry.sensitive:
            before, after = ("(not shown: before)\n" if before else ""), ("(not shown: after)\n" if after else "")
        parts.append({"before": before, "after": after})
    if change.attributes or (entry.state == "directory" and change.content):
        parts.append({"before": _described(seen), "after": _wanted(change)})
    return [{"before_header": change.path, "after_header": change.path, **part} for part in parts]


def _described(seen: Seen) -> str:
    if seen.kind == "absent":
        return "state: absent\n"
    return f"state: {seen.kind}\nowner: {seen.uid}\ngroup: {seen.gid}\nmode: {seen.mode:04o}\n"


def _wanted(change: Change) -> str:
    """As above; a user that does not exist yet is shown by name."""

    def shown(wanted: int | None, name: str | None, present: int) -> int | str:
        return wanted if wanted is not None else name if name is not None else max(present, 0)

    owner = shown(change.uid, change.entry.owner, change.seen.uid)
    group = shown(change.gid, change.entry.group, change.seen.gid)
    return f"state: {change.entry.state}\nowner: {owner}\ngroup: {group}\nmode: {change.mode:04o}\n"
