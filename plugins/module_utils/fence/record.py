# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fence has changed, on disk, so that it can be taken back exactly. Root only."""

from __future__ import annotations

import json
import os
import tempfile
import typing as t
from pathlib import Path

from ..errors import OperationFailed

PATH = Path("/var/lib/tandem/fence.json")
# Fences of proxies, which leave the database as it is.
_PASSES = frozenset({"haproxy", "atlas"})


def holds(path: Path = PATH) -> bool:
    """Does the agent leave this node alone? It may not read the record, so it sees by a second file that there are only such.

    A record without that file, as an earlier version leaves it, holds.
    """
    return path.exists() and not _passes(path).exists()


def _passes(path: Path) -> Path:
    return path.with_suffix(".passes")


class Record:
    """By driver: what it changed."""

    def __init__(self, path: Path = PATH) -> None:
        self._path = path

    def read(self) -> dict[str, dict[str, t.Any]]:
        """Raises OperationFailed where it is there and cannot be read: a fence is never forgotten silently."""
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise OperationFailed(f"{self._path} cannot be read: {error}.", "It says what to restore. Mend it.") from error
        if not isinstance(data, dict):
            raise OperationFailed(f"{self._path} is no record of a fence.", "It says what to restore. Mend it.")
        return data

    def keep(self, driver: str, changed: t.Mapping[str, t.Any]) -> None:
        """What was recorded first counts: a second fence adds nothing."""
        data = self.read()
        if driver not in data:
            self._write({**data, driver: dict(changed)})

    def drop(self, driver: str) -> None:
        """Without any fence there is no file: see holds()."""
        data = self.read()
        if data.pop(driver, None) is None:
            return
        if data:
            self._write(data)
        else:
            self._path.unlink(missing_ok=True)
            _passes(self._path).unlink(missing_ok=True)

    def _write(self, data: dict[str, t.Any]) -> None:
        temporary = ""
        passes = set(data) <= _PASSES
        try:
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            if not passes:
                _passes(self._path).unlink(missing_ok=True)
            elif not self._path.exists():
                _passes(self._path).touch()
            descriptor, temporary = tempfile.mkstemp(prefix=".fence", dir=self._path.parent)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(data, file, indent=1, sort_keys=True)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._path)
            if passes:
                _passes(self._path).touch()
        except OSError as error:
            if temporary:
                Path(temporary).unlink(missing_ok=True)
            raise OperationFailed(f"{self._path} cannot be written: {error.strerror}.", "Nothing was fenced; make room.") from error
