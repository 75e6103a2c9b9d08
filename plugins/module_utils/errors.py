# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine raises. One root; every leaf says what happened, where, and what to do about it."""

from __future__ import annotations


class TandemError(Exception):
    """Root of everything the engine raises on purpose."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}" if self.remedy else self.message


def of_the_system(error: OSError) -> str:
    """What the operating system said, in a sentence: with the file, without its number for it."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error or type(error).__name__}."


class GtidError(TandemError):
    """Text that is not a GTID set."""


class Unreachable(TandemError):
    """The server did not answer. That is not the same as: the server is down."""


class AccessDenied(Unreachable):
    """The server answered, and refused the account."""


class LibraryMissing(Unreachable):
    """Nothing can be asked from this machine."""


class StatementFailed(TandemError):
    """The server refused a statement."""

    def __init__(self, message: str, remedy: str = "", code: int = 0) -> None:
        super().__init__(message, remedy)
        self.code = code


class Refused(TandemError):
    """A gate said no. Nothing was changed."""


class OperationFailed(TandemError):
    """A step did not do what it should. The message says in which state things were left."""


class NotYet(OperationFailed):
    """What was waited for has not come in time; it still may."""
