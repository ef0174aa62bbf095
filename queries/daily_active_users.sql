-- Daily active users, over the days of [$from, $until).
--
-- A user is active on a UTC day with at least one event. Days without events are zeros, not gaps.
--
-- Returns day (date), active_users (count), events (count, pings left out); oldest first.
WITH days AS (
    -- Every day of the range, whether anything happened or not.
    SELECT unnest(generate_series(
        CAST($from AS DATE), CAST($until AS DATE), INTERVAL '1 day'
    )) AS day
),
active AS (
    -- The days on which something happened.
    SELECT
        CAST(occurred_at AS DATE) AS day,
        count(DISTINCT visitor_id) AS active_users,
        count(*) FILTER (WHERE name <> 'page_ping') AS events
    FROM events
    WHERE occurred_at >= $from AND occurred_at < $until AND NOT is_bot
    GROUP BY 1
)
SELECT
    days.day,
    coalesce(active.active_users, 0) AS active_users,
    coalesce(active.events, 0) AS events
FROM days
LEFT JOIN active ON active.day = days.day
WHERE CAST(days.day AS TIMESTAMP) < $until
ORDER BY days.day
