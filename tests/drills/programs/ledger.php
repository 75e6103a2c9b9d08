<?php
// A page of the drills. GET: is PHP there?  POST number=N: writes a row on a new connection, and tries nothing again.
declare(strict_types=1);
ini_set('display_errors', '0');
if ($_SERVER['REQUEST_METHOD'] === 'GET') {
    echo "page\n";
    exit;
}
try {
    $link = new PDO(
        'mysql:host=127.0.0.1;port=6446;dbname=blog;charset=utf8mb4',
        'blog',
        trim((string) file_get_contents('/etc/wordpress/tandem-ledger')),
        [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]
    );
    $link->prepare("INSERT INTO tandem_ledger (number, via, node) VALUES (?, 'http', @@hostname)")->execute([(string) $_POST['number']]);
    echo "written {$_POST['number']}\n";
} catch (PDOException $error) {
    http_response_code(500);
    echo $error->getMessage(), "\n";
}
