<?php
// Does PHP answer? The database is not asked.
declare(strict_types=1);

require __DIR__ . '/database.php';

answer(200, ['id' => 0]);
