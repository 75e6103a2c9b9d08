# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong at the admin port: one kind for each cause."""

from __future__ import annotations

from ..errors import AccessDenied, StatementFailed, TandemError, Unreachable


class NotListening(Unreachable):
    """Nobody takes connections there."""


class WrongLogin(AccessDenied):
    """An admin port that does not know this user, or knows another password."""


class NotAdmin(TandemError):
    """Somebody takes connections there, and is no admin port of an Atlas."""


class Silent(NotAdmin):
    """Somebody takes connections there and says nothing. A frozen Atlas does so too."""


class Interrupted(Unreachable):
    """The connection broke in the middle. Whether the command was carried out is not known."""


class UnknownBackend(TandemError):
    """Atlas has no such backend."""


class CommandFailed(StatementFailed):
    """Atlas refused a command, or took it and did not do it."""
