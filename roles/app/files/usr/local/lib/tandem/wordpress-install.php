<?php
/*
 * Fills WordPress's tables once, and upgrades them after the package was upgraded.
 * Usage: wordpress-install.php SITE   (standard input: JSON with host, title, user, email, password, database)
 * Last line: "unchanged: ..." or "changed: ...". Status 3: it could not; the reason is on standard error.
 */

error_reporting(E_ALL & ~E_DEPRECATED & ~E_NOTICE & ~E_WARNING);
ini_set('display_errors', 'stderr');

// WordPress ends a run that finds no database with an HTML page and status 0.
$finished = false;
ob_start();
register_shutdown_function(function () use (&$finished) {
    if (!$finished) {
        $text = preg_replace('~<head.*?</head>~s', '', (string) ob_get_clean());
        fwrite(STDERR, trim(preg_replace('/\s+/', ' ', html_entity_decode(strip_tags($text)))) . "\n");
        exit(3);
    }
});

$wanted = json_decode(stream_get_contents(STDIN), true, 4, JSON_THROW_ON_ERROR);
$_SERVER['WORDPRESS_CONFIG'] = $argv[1];
$_SERVER['HTTP_HOST'] = $wanted['host'];
$_SERVER['SERVER_NAME'] = $wanted['host'];
$_SERVER['REQUEST_URI'] = '/';
$_SERVER['REQUEST_METHOD'] = 'GET';
$_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';

define('WP_INSTALLING', true);
define('WP_DEBUG', false);
// What is defined first counts: the site's own configuration says where its visitors' requests go.
if (($wanted['database'] ?? '') !== '') {
    define('DB_HOST', $wanted['database']);
}

// The new administrator is told by the operator, not by a mail from a machine that may not have a mailer.
function wp_new_blog_notification($title, $url, $user, $password)
{
}

require '/usr/share/wordpress/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';

if (!$wpdb->check_connection(false)) {
    throw new RuntimeException('No connection to the database.');
}

// While installing, WordPress would ask itself over HTTP whether pretty addresses work: the site may not be up yet.
add_filter('pre_option_permalink_structure', fn () => 'not asked');

if (!is_blog_installed()) {
    wp_install($wanted['title'], $wanted['user'], $wanted['email'], true, '', $wanted['password']);
    if (!is_blog_installed()) {
        throw new RuntimeException('The tables were not made: ' . $wpdb->last_error);
    }
    $done = 'changed: installed';
} elseif ((int) $wpdb->get_var("SELECT option_value FROM $wpdb->options WHERE option_name = 'db_version'") < (int) $wp_db_version) {
    wp_upgrade();
    $done = 'changed: tables upgraded';
} else {
    $done = 'unchanged: already installed';
}
$finished = true;
ob_end_clean();
echo "$done\n";
