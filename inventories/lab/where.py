#!/usr/bin/env python3
"""Where the nodes of the lab are, as plain values: Ansible asks for them at every task, and templates would cost each time.

TANDEM_LAB (name) and TANDEM_LAB_NET (second octet) choose the lab.
"""

import json
import os
from pathlib import Path

HOSTS = {"server1": 11, "server2": 12, "client": 13}


def inventory() -> dict[str, object]:
    """As ansible.builtin.script wants it."""
    name = os.environ.get("TANDEM_LAB") or "demo"
    net = f"10.{os.environ.get('TANDEM_LAB_NET') or '77'}"
    directory = Path(__file__).resolve().parents[2] / ".lab" / name
    return {
        "_meta": {
            "hostvars": {
                host: {
                    "lab_host": number,
                    "ansible_host": f"{net}.30.{number}",
                    "ansible_user": "root",
                    "ansible_ssh_private_key_file": str(directory / "ssh" / "id_ed25519"),
                    "ansible_ssh_common_args": f"-o UserKnownHostsFile={directory / 'ssh' / 'known_hosts'} -o IdentitiesOnly=yes",
                }
                for host, number in HOSTS.items()
            }
        },
        # Not ansible_* here: a play on localhost must not try to reach itself over the lab's network.
        "all": {"hosts": list(HOSTS), "vars": {"lab_name": name, "lab_net": net, "lab_dir": str(directory)}},
    }


if __name__ == "__main__":
    print(json.dumps(inventory()))
