-- Operating systems of sessions, over [$from, $until).
--
-- The operating system of a session's first event; null if it is not known.
--
-- Returns os, sessions, unique_users, page_views (counts); the 50 with most sessions, most first.
SELECT
    os,
    count(*) AS sessions,
    count(DISTINCT visitor_id) AS unique_users,
    sum(page_views) AS page_views
FROM sessions
WHERE started_at >= $from AND started_at < $until
GROUP BY os
ORDER BY sessions DESC, os
LIMIT 50
