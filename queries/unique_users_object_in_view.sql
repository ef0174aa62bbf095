-- Unique users who had an object in view, of all time.
--
-- The event is object_in_view: an element that the page marked was visible on the screen.
--
-- Returns unique_users (count).
WITH seen AS (
    -- The visitor ids with such an event.
    SELECT visitor_id, user_id IS NULL AS is_anonymous
    FROM events
    WHERE name = 'object_in_view' AND visitor_id IS NOT NULL AND NOT is_bot
    GROUP BY visitor_id, user_id IS NULL
)
-- Somebody anonymous counts as the user who signed in later.
SELECT count(DISTINCT coalesce(identities.user_visitor_id, seen.visitor_id)) AS unique_users
FROM seen
LEFT JOIN identities ON identities.anonymous_visitor_id = seen.visitor_id AND seen.is_anonymous
