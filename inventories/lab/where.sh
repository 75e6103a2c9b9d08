#!/bin/sh
# Where the nodes of the lab are, as plain values: Ansible asks for them at every task, and templates would cost each time.
# TANDEM_LAB (name) and TANDEM_LAB_NET (second octet) choose the lab. Read by ansible.builtin.script.
set -eu

name=${TANDEM_LAB:-demo}
net=10.${TANDEM_LAB_NET:-77}
directory=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)/.lab/$name

host() {
  printf '"%s": {"lab_host": %s, "ansible_host": "%s.30.%s", "ansible_user": "root", ' "$1" "$2" "$net" "$2"
  printf '"ansible_ssh_private_key_file": "%s/ssh/id_ed25519", ' "$directory"
  printf '"ansible_ssh_common_args": "-o UserKnownHostsFile=%s/ssh/known_hosts -o IdentitiesOnly=yes"}' "$directory"
}

# Nothing of ansible_* for all: a play on localhost must not try to reach itself over the lab's network.
printf '{"_meta": {"hostvars": {%s, %s, %s}}, ' "$(host server1 11)" "$(host server2 12)" "$(host client 13)"
printf '"all": {"hosts": ["server1", "server2", "client"], "vars": {"lab_name": "%s", "lab_net": "%s", "lab_dir": "%s"}}}\n' \
  "$name" "$net" "$directory"
