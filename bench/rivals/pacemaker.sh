#!/usr/bin/env bash
# A rival: Pacemaker with Debian's ocf:heartbeat:mariadb on the lab's MariaDB pair.
#
#   pacemaker.sh prepare       replaces what the collection runs for high availability by a two-node cluster; needs a healthy pair
#   pacemaker.sh show          what the cluster says of itself
#   pacemaker.sh reseed NODE   what a person does about a server that is not taken back: the other one's data onto it
#
# The way back is to remove the lab. What is set, and why: bench/README.md.
set -euo pipefail

# shellcheck source=bench/rivals/nodes.sh
. "$(dirname "$0")/nodes.sh"

both() { # COMMAND: on both nodes; what stands on the input goes to each
  local input node
  input=$(cat)
  for node in server1 server2; do on "$node" "$1" <<< "$input"; done
}
waited() { # WHAT COMMAND: until the command succeeds on server1
  for _ in $(seq 120); do
    if on server1 "$2" > /dev/null 2>&1 < /dev/null; then return; fi
    sleep 0.5
  done
  echo "waited 60 s in vain: $1" >&2
  exit 1
}

corosync_conf() {
  cat << EOF
totem {
  version: 2
  cluster_name: pair
  transport: knet
  token: 1000
  crypto_cipher: aes256
  crypto_hash: sha256
}
nodelist {
  node {
    name: server1
    nodeid: 1
    ring0_addr: $net.20.11
    ring1_addr: $net.10.11
  }
  node {
    name: server2
    nodeid: 2
    ring0_addr: $net.20.12
    ring1_addr: $net.10.12
  }
}
quorum {
  provider: corosync_votequorum
  two_node: 1
}
logging {
  to_syslog: yes
  to_logfile: no
}
EOF
}

resources() { # SECRET
  cat << EOF
node 1: server1 attributes database_mysql_master_IP=$net.20.11
node 2: server2 attributes database_mysql_master_IP=$net.20.12
primitive database ocf:heartbeat:mariadb \\
  params binary=/usr/sbin/mariadbd client_binary=mariadb node_list="server1 server2" \\
    additional_parameters="--bind-address=0.0.0.0 --rpl-semi-sync-master-timeout=1000 --init-rpl-role=SLAVE" \\
    replication_user=pacemaker replication_passwd=$1 \\
  op start timeout=60s interval=0 op stop timeout=60s interval=0 op promote timeout=60s interval=0 \\
  op demote timeout=60s interval=0 op notify timeout=60s interval=0 \\
  op monitor role=Master interval=1s timeout=10s op monitor role=Slave interval=1500ms timeout=10s
primitive address ocf:heartbeat:IPaddr2 params ip=$net.20.100 nic=eth1 cidr_netmask=24 op monitor interval=2s timeout=10s
clone databases database meta promotable=true notify=true clone-max=2 clone-node-max=1 promoted-max=1
colocation address-with-primary inf: address databases:Master
order primary-then-address Mandatory: databases:promote address:start
property stonith-enabled=false
rsc_defaults resource-stickiness=100 migration-threshold=1 failure-timeout=10s
EOF
}

prepare() {
  find_roles
  local secret from
  secret=$(secret_of pacemaker)
  # Debian starts what it installs; these are to wait for their configuration.
  both 'printf "#!/bin/sh\nexit 101\n" > /usr/sbin/policy-rc.d; chmod 0755 /usr/sbin/policy-rc.d
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends pacemaker corosync resource-agents crmsh bc > /dev/null
    rm /usr/sbin/policy-rc.d' < /dev/null
  for from in "$net.20.%" localhost; do
    printf "CREATE USER IF NOT EXISTS 'pacemaker'@'%s' IDENTIFIED BY '%s'; GRANT ALL ON *.* TO 'pacemaker'@'%s';\n" "$from" "$secret" "$from"
  done | on "$old" mariadb
  # Who writes on the node that has the address comes from that address.
  sql "$old" "RENAME USER 'blog'@'$net.20.11' TO 'blog'@'$net.20.%'"
  # What looked after the pair until now, and what knows only of it.
  both 'systemctl disable -q --now tandem-health.socket tandem-health keepalived haproxy tandem-firewall' < /dev/null
  sql "$new" "SELECT MASTER_GTID_WAIT('$(sql "$old" 'SELECT @@gtid_binlog_pos')', 30)" | grep -qx 0
  sql "$new" 'STOP SLAVE; RESET SLAVE ALL'
  both 'systemctl disable -q --now mariadb; install -d -o mysql -g mysql /var/log/mysql' < /dev/null
  on server1 'corosync-keygen -l > /dev/null; base64 /etc/corosync/authkey' < /dev/null | both 'umask 077; base64 -d > /etc/corosync/authkey'
  corosync_conf | both 'cat > /etc/corosync/corosync.conf'
  both 'systemctl enable -q --now corosync pacemaker' < /dev/null
  waited 'both nodes are in the cluster' 'crm_mon -1 | grep -q "Online: \[ server1 server2 \]"'
  resources "$secret" | on server1 'umask 077; cat > /run/pair.crm; crm -F configure load update /run/pair.crm; rm /run/pair.crm'
  waited 'a promoted database with the address' 'crm_mon -1 | grep -Eq "(Promoted|Masters): \[" && crm_mon -1 | grep -q "IPaddr2.*Started"'
  show
}

reseed() { # NODE
  local node=$1 from=server1
  [ "$node" = server2 ] || from=server2
  on "$from" "crm_standby -N $node -v on" < /dev/null
  for _ in $(seq 120); do on "$node" 'pgrep -x mariadbd > /dev/null' < /dev/null || break; sleep 0.5; done
  on "$node" 'find /var/lib/mysql -mindepth 1 -delete' < /dev/null
  on "$from" 'mariadb-backup --backup --stream=mbstream 2> /dev/null' < /dev/null | on "$node" 'mbstream -x -C /var/lib/mysql'
  # shellcheck disable=SC2016
  on "$node" 'mariadb-backup --prepare --target-dir=/var/lib/mysql 2> /dev/null; chown -R mysql:mysql /var/lib/mysql; systemctl start mariadb
    mariadb -e "SET GLOBAL gtid_slave_pos = \"$(cut -f 3 /var/lib/mysql/xtrabackup_binlog_info)\""; systemctl stop mariadb' < /dev/null
  on "$from" "crm_standby -N $node -D; crm_resource --cleanup" < /dev/null
}

show() { on server1 'crm_mon -1rfA' < /dev/null; }

case ${1:-show} in
  prepare | show) "${1:-show}" ;;
  reseed) reseed "$2" ;;
  *) sed -n '2,8p' "$0"; exit 2 ;;
esac
