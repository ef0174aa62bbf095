-- New and returning users, over [$from, $until).
--
-- A user active in the range is new if their first event ever, in the whole lake, lies in it, and returning
-- otherwise: new + returning = active.
--
-- Returns new_users, returning_users, active_users (counts).
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
)
SELECT
    count(*) FILTER (WHERE first_at >= $from) AS new_users,
    count(*) FILTER (WHERE first_at < $from) AS returning_users,
    count(*) AS active_users
FROM users
WHERE last_at >= $from
