-- Daily active users, over the days of [$from, $until).
--
-- A user is active on a day with at least one event. A session counts on the day it begins. Days are those of the site's
-- time zone; days without events are zeros, not gaps.
--
-- Returns day (date), active_users, sessions (counts), events (count, pings left out); oldest first.
WITH days AS (
    -- Every day of the range, whether anything happened or not.
    SELECT CAST(unnest(generate_series(
        CAST($from AT TIME ZONE $time_zone AS DATE), CAST($until AT TIME ZONE $time_zone AS DATE), INTERVAL '1 day'
    )) AS DATE) AS day
),
active AS (
    -- The days on which a visitor did something.
    SELECT date AS day, count(*) AS active_users, sum(sessions) AS sessions
    FROM visitor_days
    GROUP BY date
),
happened AS (
    -- All events, those of nobody in particular too.
    SELECT
        CAST(occurred_at AT TIME ZONE $time_zone AS DATE) AS day,
        count(*) AS events
    FROM events
    WHERE occurred_at >= $from AND occurred_at < $until AND name <> 'page_ping' AND NOT is_bot
    GROUP BY 1
)
SELECT
    days.day,
    coalesce(active.active_users, 0) AS active_users,
    coalesce(active.sessions, 0) AS sessions,
    coalesce(happened.events, 0) AS events
FROM days
LEFT JOIN active ON active.day = days.day
LEFT JOIN happened ON happened.day = days.day
WHERE CAST(days.day AS TIMESTAMP) AT TIME ZONE $time_zone < $until
ORDER BY days.day
