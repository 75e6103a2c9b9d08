# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that modules share, as data; doc_fragments/database.py describes them."""

from __future__ import annotations

import typing as t

from .connection import Endpoint

LOGIN_OPTIONS: dict[str, t.Any] = {
    "login_unix_socket": {"type": "path", "default": "/run/mysqld/mysqld.sock"},
    "login_user": {"type": "str", "default": "root"},
    "login_password": {"type": "str", "default": "", "no_log": True},
    "datadir": {"type": "path", "default": "/var/lib/mysql"},
}

OPERATOR_OPTIONS: dict[str, t.Any] = {
    "operator_user": {"type": "str", "default": "tandem_operator"},
    "operator_password": {"type": "str", "default": "", "no_log": True},
    "ca_cert": {"type": "path", "default": "/etc/tandem/pki/ca.pem"},
}

PEER_OPTIONS: dict[str, t.Any] = {
    "name": {"type": "str", "default": "this server"},
    "address": {"type": "str", "default": ""},
    "peer_host": {"type": "str", "required": True},
    "peer_port": {"type": "int", "default": 3306},
    "peer_name": {"type": "str"},
}


def endpoint_here(params: t.Mapping[str, t.Any]) -> Endpoint:
    """The server of this machine."""
    return Endpoint(socket=params["login_unix_socket"], user=params["login_user"], password=params["login_password"])


def endpoint_there(params: t.Mapping[str, t.Any], host: str, port: int) -> Endpoint:
    """The other server of the pair, as the operator."""
    return Endpoint(
        host=host, port=port, user=params["operator_user"], password=params["operator_password"], ca=params["ca_cert"]
    )
