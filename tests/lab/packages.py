"""What a virgin server has, and what lies in its package cache so that site.yml need not download it."""

from __future__ import annotations

# As after a minimal installation of Debian with "SSH server"; curl for the client.
INSTALLED = (
    "ca-certificates",
    "curl",
    "dbus",
    "iproute2",
    "iputils-ping",
    "openssh-server",
    "procps",
    "python3",
    "python3-apt",
    "sudo",
    "systemd",
    "systemd-sysv",
)

CACHED = (
    "acl",
    "bind9",
    "chrony",
    "haproxy",
    "keepalived",
    "nftables",
    "nginx",
    "openssl",
    "php-curl",
    "php-fpm",
    "php-gd",
    "php-intl",
    "php-mbstring",
    "php-mysql",
    "php-xml",
    "php-zip",
    "python3-cryptography",
    "python3-dnspython",
    "python3-pymysql",
    "rsync",
    "socat",
    "unison",
    "wordpress",
    "wordpress-theme-twentytwentythree",
)
MARIADB = ("mariadb-backup", "mariadb-client", "mariadb-server")
MYSQL = ("mysql-client", "mysql-server")
