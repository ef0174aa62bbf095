-- Daily, weekly and monthly active users, over the days of [$from, $until).
--
-- Users with an event on the day, in the 7 days that end with it, and in the 28 days that end with it. Stickiness is daily
-- by monthly active users. Days are those of the site's time zone; days without events are there, too.
--
-- Returns day (date), daily, weekly, monthly (counts), stickiness (0 to 1, null without users); oldest first.
WITH days AS (
    -- Every day of the range, whether anything happened or not.
    SELECT CAST(unnest(generate_series(
        CAST($from AT TIME ZONE $time_zone AS DATE), CAST($until AT TIME ZONE $time_zone AS DATE), INTERVAL '1 day'
    )) AS DATE) AS day
),
seen AS (
    -- The days of every visitor id, those of the anonymous apart. What lies 28 days before the range still counts in it, and
    -- one of these days may have 25 hours.
    SELECT
        CAST(occurred_at AT TIME ZONE $time_zone AS DATE) AS day,
        visitor_id,
        user_id IS NULL AS is_anonymous
    FROM events
    WHERE
        visitor_id IS NOT NULL
        AND occurred_at >= $from - INTERVAL '29 days'
        AND occurred_at < $until
        AND NOT is_bot
    GROUP BY CAST(occurred_at AT TIME ZONE $time_zone AS DATE), visitor_id, user_id IS NULL
),
user_days AS (
    -- The days of every user, each once. Somebody anonymous is the user who signed in later.
    SELECT DISTINCT
        seen.day,
        coalesce(identities.user_visitor_id, seen.visitor_id) AS visitor_id
    FROM seen
    LEFT JOIN identities ON identities.anonymous_visitor_id = seen.visitor_id AND seen.is_anonymous
    WHERE seen.day >= CAST($from AT TIME ZONE $time_zone AS DATE) - INTERVAL '28 days'
),
active AS (
    -- Each with the user's next one.
    SELECT
        day,
        lead(day) OVER (PARTITION BY visitor_id ORDER BY day) AS next_day
    FROM user_days
),
spans AS (
    -- How many users are active on a day, by how long that counts: to their next active day, or to the end of the longest window.
    SELECT
        day,
        CAST(least(day + INTERVAL '28 days', next_day) AS DATE) AS end_day,
        count(*) AS users
    FROM active
    GROUP BY 1, 2
),
changes AS (
    -- A user begins to count on an active day, and ceases after the window, or begins anew on the next active day.
    SELECT day, users AS daily, users AS weekly, users AS monthly FROM spans
    UNION ALL
    SELECT CAST(least(day + INTERVAL '1 day', end_day) AS DATE), -users, 0, 0 FROM spans
    UNION ALL
    SELECT CAST(least(day + INTERVAL '7 days', end_day) AS DATE), 0, -users, 0 FROM spans
    UNION ALL
    SELECT end_day, 0, 0, -users FROM spans
    UNION ALL
    SELECT day, 0, 0, 0 FROM days
),
by_day AS (
    -- The changes of each day.
    SELECT day, sum(daily) AS daily, sum(weekly) AS weekly, sum(monthly) AS monthly
    FROM changes
    GROUP BY day
),
counted AS (
    -- All changes up to a day are the users who count on it.
    SELECT
        day,
        sum(daily) OVER (ORDER BY day) AS daily,
        sum(weekly) OVER (ORDER BY day) AS weekly,
        sum(monthly) OVER (ORDER BY day) AS monthly
    FROM by_day
)
SELECT
    days.day,
    counted.daily,
    counted.weekly,
    counted.monthly,
    CAST(counted.daily AS DOUBLE) / nullif(counted.monthly, 0) AS stickiness
FROM days
JOIN counted ON counted.day = days.day
WHERE CAST(days.day AS TIMESTAMP) AT TIME ZONE $time_zone < $until
ORDER BY days.day
