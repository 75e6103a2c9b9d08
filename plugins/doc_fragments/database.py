# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of every module that talks to the databases of a pair."""

from __future__ import annotations


class ModuleDocFragment:
    # The server of this machine.
    DOCUMENTATION = r"""
options:
  login_unix_socket:
    description: Socket of the database server of this machine.
    type: path
    default: /run/mysqld/mysqld.sock
  login_user:
    description: Administrator of the database server of this machine.
    type: str
    default: root
  login_password:
    description: Password of O(login_user). Not needed where the socket proves who logs in, as Debian sets it up.
    type: str
    default: ""
  datadir:
    description: Data directory of the database server of this machine.
    type: path
    default: /var/lib/mysql
requirements:
  - PyMySQL on the node (python3-pymysql).
"""

    # The other server of the pair, asked over TLS.
    OPERATOR = r"""
options:
  operator_user:
    description: Account that looks at the other server.
    type: str
    default: tandem_operator
  operator_password:
    description: Password of O(operator_user).
    type: str
    default: ""
  ca_cert:
    description: Certificate of the authority of the pair. Both servers prove by it who they are.
    type: path
    default: /etc/tandem/pki/ca.pem
"""
