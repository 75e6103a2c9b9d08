# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stream of one program, compressed into a file with its checksum, and back into another program."""

from __future__ import annotations

import hashlib
import os
import select
import subprocess
import tempfile
import time
import typing as t
import zlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import OperationFailed, of_the_system
from ..runner import tail

_CHUNK = 1024 * 1024
_GZIP = 31
# Fast, and still a third of the size or less.
_LEVEL = 1
# Nothing for this long: the program is stuck.
_STALLED = 300
_CHANGED = "its checksum is not the one in its manifest"
_AGAIN = "Mend what it says and run this again."


@dataclass(frozen=True)
class Packed:
    """What was written: sizes in bytes."""

    size: int
    unpacked: int
    sha256: str


def pack(
    argv: t.Sequence[str],
    target: Path,
    timeout: float,
    progress: t.Callable[[int], None],
    clock: t.Callable[[], float] = time.monotonic,
) -> Packed:
    """What the program writes, as a gzip file. Raises OperationFailed."""
    try:
        return _pack(argv, target, timeout, progress, clock)
    except OSError as error:
        # A file that cannot be written says so once more when it is closed.
        raise OperationFailed(f"The copy broke: {of_the_system(error)}", _AGAIN) from error


def _pack(
    argv: t.Sequence[str], target: Path, timeout: float, progress: t.Callable[[int], None], clock: t.Callable[[], float]
) -> Packed:
    deadline = clock() + timeout
    digest = hashlib.sha256()
    squeeze = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    read = written = 0
    log = target.with_name(f".{target.name}.log")
    with (
        target.open("wb") as file,
        log.open("wb") as errors,
        subprocess.Popen(list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors) as program,
    ):
        try:
            output = t.cast(t.BinaryIO, program.stdout)
            while chunk := _next(output.fileno(), deadline, clock):
                read += len(chunk)
                written += _put(file, digest, squeeze.compress(chunk))
                progress(read)
            written += _put(file, digest, squeeze.flush())
            program.wait(max(1.0, deadline - clock()))
        except (OSError, subprocess.TimeoutExpired, OperationFailed) as error:
            program.kill()
            raise OperationFailed(f"The copy broke: {error} {tail(log)}", _AGAIN) from error
    if program.returncode != 0 or not read:
        raise OperationFailed(f"{_called(argv)} ended with {program.returncode} after {read} bytes: {tail(log)}", _AGAIN)
    log.unlink()
    return Packed(written, read, digest.hexdigest())


def unpack(source: Path, argv: t.Sequence[str], timeout: float, expected: str, clock: t.Callable[[], float] = time.monotonic) -> None:
    """Feed the file to the program. Raises OperationFailed if it is not what it was when it was written."""
    deadline = clock() + timeout
    digest = hashlib.sha256()
    expand = zlib.decompressobj(_GZIP)
    with (
        source.open("rb") as file,
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(list(argv), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors) as program,
    ):
        broken = said = ""
        try:
            target = t.cast(t.BinaryIO, program.stdin)
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                # A chunk of nothing but zeros becomes a thousand times as much.
                while chunk:
                    target.write(expand.decompress(chunk, _CHUNK))
                    chunk = expand.unconsumed_tail
                if clock() > deadline:
                    raise OperationFailed(f"not done after {timeout:g} s.")
            target.close()
            program.wait(max(1.0, deadline - clock()))
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()[-300:]
        except (OSError, ValueError, zlib.error, subprocess.TimeoutExpired, OperationFailed) as error:
            program.kill()
            broken = _CHANGED if checksum(source) != expected else str(error)
    if not broken:
        if digest.hexdigest() != expected:
            broken = _CHANGED
        elif not expand.eof:
            broken = "its end is missing"
        elif program.returncode != 0:
            broken = f"{_called(argv)} ended with {program.returncode}: {said}"
    if broken:
        raise OperationFailed(f"{source} cannot be unpacked: {broken}.", "Use another backup.")


def checksum(source: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with source.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _next(descriptor: int, deadline: float, clock: t.Callable[[], float]) -> bytes:
    wait = min(float(_STALLED), deadline - clock())
    if wait <= 0:
        raise OperationFailed("it took longer than the timeout allows.")
    ready, _writable, _failed = select.select([descriptor], [], [], wait)
    if not ready:
        raise OperationFailed(f"nothing came for {wait:.0f} s.")
    return os.read(descriptor, _CHUNK)


def _put(file: t.BinaryIO, digest: t.Any, data: bytes) -> int:
    digest.update(data)
    file.write(data)
    return len(data)


def _called(argv: t.Sequence[str]) -> str:
    """The program itself, not the one that makes it gentle."""
    return next((word for word in argv if word.startswith(("mariadb", "mbstream", "tar"))), argv[0])
