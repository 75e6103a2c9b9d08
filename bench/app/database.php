<?php
// A new connection for every request, as most PHP applications open it: nothing is kept, nothing is tried again.
declare(strict_types=1);

const PORTS = ['writer' => 6446, 'reader' => 6447];

function connect(string $via): PDO
{
    if (!isset(PORTS[$via])) {
        answer(400, ['error' => 'via is writer or reader']);
    }
    return new PDO(
        'mysql:host=127.0.0.1;port=' . PORTS[$via] . ';dbname=bench;charset=utf8mb4',
        'bench',
        (string) getenv('BENCH_PASSWORD'),
        [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_ASSOC]
    );
}

/** Answers and ends. What the visitor gets names the node whose PHP answered. */
function answer(int $status, array $body): never
{
    http_response_code($status);
    header('Content-Type: application/json');
    header('Cache-Control: no-store');
    echo json_encode($body + ['php' => gethostname(), 'time' => microtime(true)]), "\n";
    exit;
}
