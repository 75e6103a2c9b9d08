#!/usr/bin/env bash
# A rival: MHA's online switch (Debian's mha4mysql-manager) on the lab's MariaDB pair.
#
#   mha.sh prepare   installs it on server1, makes its accounts, its keys and its configuration; needs a healthy pair
#   mha.sh switch    exchanges source and replica, once
#   mha.sh restore   removes its accounts; afterwards playbooks/database.yml makes the replication the collection's again
#
# MHA knows no GTID of MariaDB and sets no TLS: after its first switch the replica follows by file and position.
# As packaged it ends at once: "Redundant argument in sprintf", because Debian's version strings hold more than three
# numbers (10.11.19-MariaDB-0+deb12u1-log). prepare corrects these two lines; nothing else of MHA is changed.
# Its script for "stop writing here, write there" does what MHA's own sample does (read_only), and takes the writer
# offline in both proxies as by_hand.sh does.
set -euo pipefail

# shellcheck source=bench/rivals/nodes.sh
. "$(dirname "$0")/nodes.sh"

manager=server1
option='/etc/mha/client.cnf'

prepare() {
  find_roles
  local secret node
  secret=$(secret_of mha)
  on "$manager" 'DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends mha4mysql-manager' < /dev/null > /dev/null
  # shellcheck disable=SC2016
  on "$manager" 'perl -pi -e '\''BEGIN { %count = ("%03d%03d%03d" => 2, "%03d%03d" => 1) }
    s{(sprintf\( .((?:%03d)+)., )(\$str =~ m/\(\\d\+\)/g) \)}{"$1( $3 )[0 .. $count{$2}] )"}e'\'' /usr/share/perl5/MHA/NodeUtil.pm' < /dev/null
  {
    printf "CREATE USER IF NOT EXISTS 'mha'@'%s.20.%%' IDENTIFIED BY '%s';\n" "$net" "$secret"
    printf "GRANT ALL ON *.* TO 'mha'@'%s.20.%%';\n" "$net"
    printf "CREATE USER IF NOT EXISTS 'mha_repl'@'%s.20.%%' IDENTIFIED BY '%s';\n" "$net" "$secret"
    printf "GRANT REPLICATION SLAVE ON *.* TO 'mha_repl'@'%s.20.%%';\n" "$net"
  } | on "$old" mariadb
  # MHA expects to be root on every node by ssh.
  on "$manager" 'mkdir -p /etc/mha; [ -f /etc/mha/key ] || ssh-keygen -q -t ed25519 -N "" -C mha -f /etc/mha/key' < /dev/null
  on "$manager" 'cat /etc/mha/key.pub' < /dev/null > "$state/mha.pub"
  for node in server1 server2; do
    # shellcheck disable=SC2016
    on "$node" 'read -r key; grep -qxF "$key" /root/.ssh/authorized_keys || echo "$key" >> /root/.ssh/authorized_keys' < "$state/mha.pub"
    printf '%s.20.%s %s\n' "$net" "${octet[$node]}" "$(on "$node" 'cut -d" " -f1,2 /etc/ssh/ssh_host_ed25519_key.pub' < /dev/null)"
  done | on "$manager" 'cat > /etc/mha/known_hosts'
  on "$manager" "umask 077; cat > $option" << EOF
[client]
user=mha
password=$secret
EOF
  on "$manager" 'umask 077; cat > /etc/mha/pair.cnf' << EOF
[server default]
user=mha
password=$secret
repl_user=mha_repl
repl_password=$secret
ssh_user=root
manager_workdir=/var/tmp
master_ip_online_change_script=/etc/mha/online_change
[server1]
hostname=$net.20.${octet[server1]}
candidate_master=1
[server2]
hostname=$net.20.${octet[server2]}
candidate_master=1
EOF
  on "$manager" 'cat > /etc/mha/online_change; chmod 0755 /etc/mha/online_change' << EOF
#!/bin/bash
set -euo pipefail
declare -A names=([$net.20.${octet[server1]}]=server1 [$net.20.${octet[server2]}]=server2)
for word in "\$@"; do
  case \$word in
    --command=*) command=\${word#*=} ;;
    --orig_master_ip=*) old=\${word#*=} ;;
    --new_master_ip=*) new=\${word#*=} ;;
  esac
done
sql() { mariadb --defaults-file=$option --host="\$1" --execute="\$2"; }
proxy() {
  local host
  for host in "\${!names[@]}"; do
    ssh -i /etc/mha/key -o UserKnownHostsFile=/etc/mha/known_hosts -o BatchMode=yes -o ControlMaster=auto \\
      -o ControlPersist=60s -o ControlPath=/run/mha-%C "root@\$host" 'socat stdio /run/haproxy/admin.sock' <<< "\$1" &
  done
  wait
}
case \$command in
  stop)
    proxy "set server sql_writer/\${names[\$old]} state maint"
    sql "\$old" 'SET GLOBAL read_only = 1; SET GLOBAL rpl_semi_sync_master_enabled = 0'
    ;;
  start)
    sql "\$new" 'SET GLOBAL rpl_semi_sync_master_enabled = 1; SET GLOBAL read_only = 0'
    proxy "set server sql_writer/\${names[\$old]} state ready"
    ;;
esac
EOF
}

switch() {
  find_roles
  on "$manager" "masterha_master_switch --conf=/etc/mha/pair.cnf --master_state=alive \
    --new_master_host=$net.20.${octet[$new]} --orig_master_is_new_slave --interactive=0 2>&1" < /dev/null
}

restore() {
  find_roles
  printf "DROP USER IF EXISTS '%s'@'$net.20.%%';\n" mha mha_repl | on "$old" mariadb
}

case ${1:-switch} in
  prepare | switch | restore) "${1:-switch}" ;;
  *) sed -n '2,8p' "$0"; exit 2 ;;
esac
