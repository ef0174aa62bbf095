-- Active users today, in this month, and in the last 7 and 28 days.
--
-- A user is active on a day with at least one event. All four periods end with $today, so the last day with an event says
-- which of them a user was active in. Days are those of the site's time zone.
--
-- Returns users_today, users_7_days, users_28_days, users_this_month (counts).
WITH users AS (
    -- One row per user who was active in the last month or in the last 28 days.
    SELECT site_id, visitor_id, max(date) AS last_day
    FROM visitor_days
    WHERE date <= $today AND date >= CAST($today AS DATE) - INTERVAL '31 days'
    GROUP BY site_id, visitor_id
)
SELECT
    count(*) FILTER (WHERE last_day = $today) AS users_today,
    count(*) FILTER (WHERE last_day > CAST($today AS DATE) - INTERVAL '7 days') AS users_7_days,
    count(*) FILTER (WHERE last_day > CAST($today AS DATE) - INTERVAL '28 days') AS users_28_days,
    count(*) FILTER (WHERE last_day >= date_trunc('month', CAST($today AS DATE))) AS users_this_month
FROM users
