<?php
// GET /                 the newest row           ?via=reader: from the port that prefers the replica
// GET /?list=20         the newest rows
// POST / token=T        writes a row; with a file "file" also keeps that in uploads/
declare(strict_types=1);

require __DIR__ . '/database.php';

function token(): string
{
    $token = (string) ($_POST['token'] ?? '');
    if (!preg_match('/^[a-z0-9-]{1,64}$/', $token)) {
        answer(400, ['error' => 'token is missing or has other characters than a-z, 0-9 and -']);
    }
    return $token;
}

/** Puts the file that was sent, if one was, where it is served and synchronised from. Returns its size. */
function keep_upload(string $token): int
{
    if (!isset($_FILES['file'])) {
        return 0;
    }
    $sent = $_FILES['file'];
    if ($sent['error'] !== UPLOAD_ERR_OK || !move_uploaded_file($sent['tmp_name'], __DIR__ . "/uploads/$token.bin")) {
        answer(500, ['error' => "the upload could not be kept ({$sent['error']})"]);
    }
    return (int) $sent['size'];
}

try {
    if ($_SERVER['REQUEST_METHOD'] === 'POST') {
        $token = token();
        $size = keep_upload($token);
        $database = connect('writer');
        $database->prepare('INSERT INTO writes (token, size, node) VALUES (?, ?, @@hostname)')->execute([$token, $size]);
        answer(200, ['id' => (int) $database->lastInsertId(), 'token' => $token, 'size' => $size]);
    }
    $database = connect((string) ($_GET['via'] ?? 'writer'));
    $limit = max(1, min(100, (int) ($_GET['list'] ?? 1)));
    $rows = $database->query("SELECT id, token, size, node, @@hostname AS node_read FROM writes ORDER BY id DESC LIMIT $limit")->fetchAll();
    answer(200, ['id' => (int) ($rows[0]['id'] ?? 0), 'node' => (string) ($rows[0]['node_read'] ?? ''), 'rows' => $rows]);
} catch (PDOException $error) {
    answer(500, ['error' => $error->getMessage()]);
}
