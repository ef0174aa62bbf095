-- New and returning users, over the days of [$from, $until).
--
-- A user active in the range is new if their first event ever, in the whole lake, lies on one of its days, and returning
-- otherwise: new + returning = active.
--
-- Returns new_users, returning_users, active_users (counts).
WITH users AS (
    -- One row per user active in the range: whether one of these days is the user's first.
    SELECT site_id, visitor_id, bool_or(is_new) AS is_new
    FROM visitor_days
    WHERE
        date >= CAST($from AT TIME ZONE $time_zone AS DATE)
        AND CAST(date AS TIMESTAMP) AT TIME ZONE $time_zone < $until
    GROUP BY site_id, visitor_id
)
SELECT
    count(*) FILTER (WHERE is_new) AS new_users,
    count(*) FILTER (WHERE NOT is_new) AS returning_users,
    count(*) AS active_users
FROM users
