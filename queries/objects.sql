-- Objects that were seen or used, over [$from, $until).
--
-- An object is what the page marked; object_in_view says that it was visible on the screen, object_interaction that
-- somebody used it.
--
-- Returns object, views, interactions, unique_users (counts); the 50 most seen, most seen first.
WITH seen AS (
    -- What every visitor id saw and used.
    SELECT
        object,
        visitor_id,
        user_id IS NULL AS is_anonymous,
        count(*) FILTER (WHERE name = 'object_in_view') AS views,
        count(*) FILTER (WHERE name = 'object_interaction') AS interactions
    FROM events
    WHERE
        name IN ('object_in_view', 'object_interaction')
        AND object IS NOT NULL
        AND occurred_at >= $from
        AND occurred_at < $until
        AND NOT is_bot
    GROUP BY object, visitor_id, user_id IS NULL
)
-- Somebody anonymous counts as the user who signed in later.
SELECT
    seen.object,
    sum(seen.views) AS views,
    sum(seen.interactions) AS interactions,
    count(DISTINCT coalesce(identities.user_visitor_id, seen.visitor_id)) AS unique_users
FROM seen
LEFT JOIN identities ON identities.anonymous_visitor_id = seen.visitor_id AND seen.is_anonymous
GROUP BY seen.object
ORDER BY views DESC, interactions DESC, seen.object
LIMIT 50
