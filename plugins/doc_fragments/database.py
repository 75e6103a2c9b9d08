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

    # Two servers that are looked at together.
    PEER = r"""
options:
  name:
    description: What messages call this server.
    type: str
    default: this server
  address:
    description: Address by which the other server knows this one. By default what the server reports (C(report_host)).
    type: str
    default: ""
  peer_host:
    description: Address of the other server, as its certificate has it.
    type: str
    required: true
  peer_port:
    description: Its port.
    type: int
    default: 3306
  peer_name:
    description: What messages call it. By default O(peer_host).
    type: str
"""

    REPLICA = r"""
options:
  name:
    description: What messages call this server.
    type: str
    default: this server
  source_host:
    description: Address of the source, as its certificate has it.
    type: str
  source_port:
    description: Its port.
    type: int
    default: 3306
  source_name:
    description: What messages call it. By default O(source_host).
    type: str
  replication_user:
    description: Account with which this server logs in at the source.
    type: str
    default: tandem_repl
  replication_password:
    description: Its password.
    type: str
  connect_retry:
    description: Seconds between two attempts to reach the source.
    type: int
    default: 1
  seed_timeout:
    description: How long each part of a copy may take, in seconds from 1 to 864000 (ten days).
    type: int
    default: 7200
  service:
    description: Unit of the database server. By default C(mariadb) or C(mysql), whichever the source is.
    type: str
  donor_user:
    description: MariaDB only, account on the source whose key allows nothing but the copy.
    type: str
    default: tandem
  donor_key:
    description: MariaDB only, private key on this machine.
    type: path
    default: /etc/tandem/ssh/donor
  donor_known_hosts:
    description: MariaDB only, file on this machine with the host key of the source.
    type: path
    default: /etc/tandem/ssh/known_hosts
  donor_port:
    description: MariaDB only, port of sshd on the source.
    type: int
    default: 22
"""
