-- New and returning users, over [$from, $until).
--
-- A user active in the range is new if their first event ever, in the whole lake, lies in it, and returning
-- otherwise: new + returning = active.
--
-- Returns new_users, returning_users, active_users (counts).
WITH users AS (
    -- One row per user: the first event ever, and the last before $until.
    SELECT
        visitor_id,
        min(occurred_at) AS first_at,
        max(occurred_at) AS last_at
    FROM events
    WHERE occurred_at < $until AND visitor_id IS NOT NULL AND NOT is_bot
    GROUP BY visitor_id
)
SELECT
    count(*) FILTER (WHERE first_at >= $from) AS new_users,
    count(*) FILTER (WHERE first_at < $from) AS returning_users,
    count(*) AS active_users
FROM users
WHERE last_at >= $from
