# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that the modules of Atlas share, as data; doc_fragments/atlas.py describes them."""

from __future__ import annotations

import typing as t

from .. import bounds
from .wire import Endpoint

ADMIN_OPTIONS: dict[str, t.Any] = {
    "login_host": {"type": "str", "default": "127.0.0.1"},
    "login_port": {"type": "int", "default": 2345},
    "login_user": {"type": "str", "required": True},
    "login_password": {"type": "str", "required": True, "no_log": True},
    "login_timeout": {"type": "float", "default": 5},
}


def endpoint_of(params: t.Mapping[str, t.Any]) -> Endpoint:
    """The admin port that the options name. Raises Refused where a number makes no sense."""
    bounds.require(params, login_port=(1, 65535), login_timeout=(0.1, bounds.LONG))
    return Endpoint(
        params["login_host"], params["login_port"], params["login_user"], params["login_password"], params["login_timeout"]
    )
