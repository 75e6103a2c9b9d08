# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of every module that talks to the admin port of an Atlas."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  login_host:
    description: Where the admin port listens, as C(admin-address) of the configuration has it.
    type: str
    default: 127.0.0.1
  login_port:
    description: The admin port. It is not the port that applications use.
    type: int
    default: 2345
  login_user:
    description: What C(admin-username) of the configuration says, in the same case.
    type: str
    required: true
  login_password:
    description: What C(admin-password) of the configuration says. It is proven only to whoever says that he is an admin port.
    type: str
    required: true
  login_timeout:
    description: Seconds for the login, and for each command, all their waits together.
    type: float
    default: 5
notes:
  - Needs nothing but Python on the node. Libraries for MySQL cannot log in at the admin port.
  - Atlas is no longer maintained. It was tested with version 2.2.2.
"""
