-- Active users today, in this month, and in the last 7 and 28 days.
--
-- A user is active on a day with at least one event. All four periods end with $until, so the day of the last event says which
-- of them a user was active in. Days are those of the site's time zone.
--
-- Returns users_today, users_7_days, users_28_days, users_this_month (counts).
WITH seen AS (
    -- The first and the last event of every visitor id, those of the anonymous apart.
    SELECT
        visitor_id,
        user_id IS NULL AS is_anonymous,
        min(occurred_at) AS first_at,
        max(occurred_at) AS last_at
    FROM events
    WHERE visitor_id IS NOT NULL AND occurred_at < $until AND NOT is_bot
    GROUP BY visitor_id, user_id IS NULL
),
users AS (
    -- One row per user. Somebody anonymous is the user who signed in later.
    SELECT
        coalesce(identities.user_visitor_id, seen.visitor_id) AS visitor_id,
        min(seen.first_at) AS first_at,
        max(seen.last_at) AS last_at
    FROM seen
    LEFT JOIN identities ON identities.anonymous_visitor_id = seen.visitor_id AND seen.is_anonymous
    GROUP BY 1
),
days AS (
    -- The day of every user's last event.
    SELECT CAST(last_at AT TIME ZONE $time_zone AS DATE) AS last_day
    FROM users
)
SELECT
    count(*) FILTER (WHERE last_day = $today) AS users_today,
    count(*) FILTER (WHERE last_day > CAST($today AS DATE) - INTERVAL '7 days') AS users_7_days,
    count(*) FILTER (WHERE last_day > CAST($today AS DATE) - INTERVAL '28 days') AS users_28_days,
    count(*) FILTER (WHERE last_day >= date_trunc('month', CAST($today AS DATE))) AS users_this_month
FROM days
