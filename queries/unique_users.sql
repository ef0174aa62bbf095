-- Unique users, of all time.
--
-- A user is a visitor: somebody with a user id, or an anonymous id that no user was seen with. Somebody who is anonymous
-- first and signs in later is one user. Events of nobody in particular and events of robots do not count.
--
-- Returns unique_users (count).
WITH seen AS (
    -- Every visitor id, those of the anonymous apart.
    SELECT visitor_id, user_id IS NULL AS is_anonymous
    FROM events
    WHERE visitor_id IS NOT NULL AND NOT is_bot
    GROUP BY visitor_id, user_id IS NULL
)
-- Somebody anonymous counts as the user who signed in later.
SELECT count(DISTINCT coalesce(identities.user_visitor_id, seen.visitor_id)) AS unique_users
FROM seen
LEFT JOIN identities ON identities.anonymous_visitor_id = seen.visitor_id AND seen.is_anonymous
