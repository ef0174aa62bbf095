-- Page views by page and time, over [$from, $until).
--
-- Robots are left out, and so are page views without an address.
--
-- $unit is minute, hour, day or month. $rows bounds the answer.
--
-- Returns url, timeframe (the start of the unit, UTC), visit_count.
SELECT
    url,
    date_trunc($unit, occurred_at) AS timeframe,
    count(*) AS visit_count
FROM events
WHERE name = 'page_view'
    AND url IS NOT NULL
    AND NOT is_bot
    AND occurred_at >= $from
    AND occurred_at < $until
GROUP BY url, timeframe
ORDER BY url, timeframe
LIMIT $rows
