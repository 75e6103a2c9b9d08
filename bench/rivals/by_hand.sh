#!/usr/bin/env bash
# A rival: the switchover of a well-known recipe, done by hand on the lab's MariaDB pair, as fast as commands can be sent.
# Recipe: are both equal? / take the writer offline in the proxy / switch source and replica / look again / online.
#
#   TANDEM_LAB=demo TANDEM_LAB_NET=77 bench/rivals/by_hand.sh
#
# HAND_SECONDS (0)  what a person takes between two steps.
# HAND_VIP (no)     yes: the last step of the recipe as well, which restarts keepalived to move the addresses.
set -euo pipefail

# shellcheck source=bench/rivals/nodes.sh
. "$(dirname "$0")/nodes.sh"

step() {
  printf '%s %s\n' "$(date +%T.%3N)" "$1"
  sleep "${HAND_SECONDS:-0}"
}

step 'who is the primary?'
find_roles
old_address=$net.20.${octet[$old]} new_address=$net.20.${octet[$new]}
authority=$(on "$new" 'mariadb --batch -E' <<< 'SHOW SLAVE STATUS' | sed -n 's/^ *Master_SSL_CA_File: //p')

step "$old is. does $new follow?"
on "$new" 'mariadb --batch -E' <<< 'SHOW SLAVE STATUS' | grep -E '_Running:|Seconds_Behind' | tee /dev/stderr | grep -c ': Yes' | grep -qx 2

step 'take the writer offline in the proxies'
proxy "set server sql_writer/$old state maint"

step "close $old"
sql "$old" 'SET GLOBAL read_only = 1; SET GLOBAL rpl_semi_sync_master_enabled = 0'
position=$(sql "$old" 'SELECT @@gtid_binlog_pos')

step "wait until $new has $position"
if [ "$(sql "$new" "SELECT MASTER_GTID_WAIT('$position', 30)")" != 0 ]; then
  echo "$new does not catch up" >&2
  sql "$old" 'SET GLOBAL read_only = 0; SET GLOBAL rpl_semi_sync_master_enabled = 1'
  proxy "set server sql_writer/$old state ready"
  exit 1
fi

step "open $new"
sql "$new" 'STOP SLAVE; RESET SLAVE ALL; SET GLOBAL rpl_semi_sync_master_enabled = 1; SET GLOBAL read_only = 0'

step "let $old follow $new"
{
  printf "SET GLOBAL gtid_slave_pos = '%s';\n" "$position"
  printf "CHANGE MASTER TO MASTER_HOST='%s', MASTER_PORT=3306, MASTER_USER='tandem_repl', MASTER_PASSWORD='%s'," \
    "$new_address" "$(cat "$state/secrets/replication")"
  printf " MASTER_CONNECT_RETRY=1, MASTER_USE_GTID=slave_pos, MASTER_SSL=1, MASTER_SSL_CA='%s', MASTER_SSL_VERIFY_SERVER_CERT=1;\n" "$authority"
  printf "START SLAVE;\n"
} | on "$old" 'mariadb --batch'

step 'the writer online in the proxies'
proxy "set server sql_writer/$old state ready"

step "does $old ($old_address) follow?"
for _ in $(seq 50); do
  running=$(on "$old" 'mariadb --batch -E' <<< 'SHOW SLAVE STATUS' | grep -cE '_(IO|SQL)_Running: Yes' || true)
  [ "$running" = 2 ] && break
  sleep 0.2
done
[ "$running" = 2 ]

if [ "${HAND_VIP:-no}" = yes ]; then
  step 'the addresses'
  for node in server1 server2; do
    if on "$node" "ip -4 -o address show to $net.10.100" | grep -q . && [ "$node" != "$new" ]; then on "$node" 'systemctl restart keepalived'; fi
  done
fi
step "$new is the primary"
