# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong at the admin port: one kind for each cause. cause: the same as one word, for playbooks."""

from __future__ import annotations

from ..errors import AccessDenied, StatementFailed, TandemError, Unreachable


class NotListening(Unreachable):
    """Nobody takes connections there."""

    cause = "refused"


class WrongLogin(AccessDenied):
    """An admin port that does not know this user, or knows another password."""

    cause = "login"


class NotAdmin(TandemError):
    """Somebody takes connections there, and is no admin port of an Atlas."""

    cause = "not_admin"


class Silent(NotAdmin):
    """Somebody takes connections there and says nothing. A frozen Atlas does so too."""


class Interrupted(Unreachable):
    """The connection broke in the middle. Whether the command was carried out is not known."""

    cause = "interrupted"


class UnknownBackend(TandemError):
    """Atlas has no such backend."""

    cause = "unknown_backend"


class CommandFailed(StatementFailed):
    """Atlas refused a command, or took it and did not do it."""

    cause = "command"


def cause_of(error: TandemError) -> str:
    """One word: refused, login, not_admin, interrupted, unknown_backend, command; for anything else: failed."""
    word: str = getattr(error, "cause", "failed")
    return word
