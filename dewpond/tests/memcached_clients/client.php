<?php
// Reads a report from Memcached with PHP's extension, and prints a line of JSON: php client.php HOST PORT KEY

[, $host, $port, $key] = $argv;
$client = new Memcached();
$client->addServer($host, (int) $port);
$report = json_decode($client->get($key), true, flags: JSON_THROW_ON_ERROR);
$metrics = array_map(fn($metric) => [count($metric['rows']), $metric['row_count'] ?? null], $report['metrics']);
echo json_encode(['client' => 'php', 'truncated' => $report['truncated'] ?? false, 'metrics' => $metrics]), "\n";
