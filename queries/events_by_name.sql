-- Events by name, of all time.
--
-- Returns name, events (count), unique_users (count); the 100 most frequent names, most frequent first.
WITH named AS (
    -- The events of every visitor id by name.
    SELECT name, visitor_id, user_id IS NULL AS is_anonymous, count(*) AS events
    FROM events
    WHERE NOT is_bot
    GROUP BY name, visitor_id, user_id IS NULL
)
-- Somebody anonymous counts as the user who signed in later.
SELECT
    named.name,
    sum(named.events) AS events,
    count(DISTINCT coalesce(identities.user_visitor_id, named.visitor_id)) AS unique_users
FROM named
LEFT JOIN identities ON identities.anonymous_visitor_id = named.visitor_id AND named.is_anonymous
GROUP BY named.name
ORDER BY events DESC, named.name
LIMIT 100
