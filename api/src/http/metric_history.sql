-- The newest reports of one metric, over [$from, $until), newest first.
--
-- $site is null for the whole lake. $rows bounds the answer.
--
-- Returns what the table has of each: generated_at, complete_until, lake_version, value, columns, rows, error.
SELECT
    generated_at,
    complete_until,
    lake_version,
    value,
    columns,
    rows,
    error
FROM reports
WHERE metric = $metric
    AND site_id IS NOT DISTINCT FROM $site
    AND generated_at >= $from
    AND generated_at < $until
ORDER BY generated_at DESC
LIMIT $rows
