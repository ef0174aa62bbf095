-- Revenue by currency, over [$from, $until).
--
-- Every event with a revenue counts, refunds with their negative one. Sums of different currencies would mean nothing.
--
-- Returns currency, revenue (decimal), events, unique_users (counts); the currency with most events first.
WITH paid AS (
    -- The money of every visitor id.
    SELECT currency, visitor_id, user_id IS NULL AS is_anonymous, count(*) AS events, sum(revenue) AS revenue
    FROM events
    WHERE revenue IS NOT NULL AND occurred_at >= $from AND occurred_at < $until AND NOT is_bot
    GROUP BY currency, visitor_id, user_id IS NULL
)
-- Somebody anonymous counts as the user who signed in later.
SELECT
    paid.currency,
    sum(paid.revenue) AS revenue,
    sum(paid.events) AS events,
    count(DISTINCT coalesce(identities.user_visitor_id, paid.visitor_id)) AS unique_users
FROM paid
LEFT JOIN identities ON identities.anonymous_visitor_id = paid.visitor_id AND paid.is_anonymous
GROUP BY paid.currency
ORDER BY events DESC, paid.currency
