-- Daily active users, over the days of [$from, $until).
--
-- A user is active on a day with at least one event. A session counts on the day it begins. Days are those of the site's
-- time zone; days without events are zeros, not gaps.
--
-- Returns day (date), active_users, sessions (counts), events (count, pings left out); oldest first.
WITH days AS (
    -- Every day of the range, whether anything happened or not. What began at $until is not in it.
    SELECT day
    FROM (
        SELECT CAST(unnest(generate_series(
            CAST($from AT TIME ZONE $time_zone AS DATE), CAST($until AT TIME ZONE $time_zone AS DATE), INTERVAL '1 day'
        )) AS DATE) AS day
    )
    WHERE CAST(day AS TIMESTAMP) AT TIME ZONE $time_zone < $until
),
seen AS (
    -- The days of every visitor id, those of the anonymous apart.
    SELECT
        CAST(occurred_at AT TIME ZONE $time_zone AS DATE) AS day,
        visitor_id,
        user_id IS NULL AS is_anonymous
    FROM events
    WHERE visitor_id IS NOT NULL AND occurred_at >= $from AND occurred_at < $until AND NOT is_bot
    GROUP BY CAST(occurred_at AT TIME ZONE $time_zone AS DATE), visitor_id, user_id IS NULL
),
active AS (
    -- The users of every day. Somebody anonymous is the user who signed in later.
    SELECT
        seen.day,
        count(DISTINCT coalesce(identities.user_visitor_id, seen.visitor_id)) AS active_users
    FROM seen
    LEFT JOIN identities ON identities.anonymous_visitor_id = seen.visitor_id AND seen.is_anonymous
    GROUP BY seen.day
),
begun AS (
    -- The sessions that began on every day.
    SELECT date AS day, count(*) AS sessions
    FROM sessions
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
    coalesce(begun.sessions, 0) AS sessions,
    coalesce(happened.events, 0) AS events
FROM days
LEFT JOIN active ON active.day = days.day
LEFT JOIN begun ON begun.day = days.day
LEFT JOIN happened ON happened.day = days.day
ORDER BY days.day
