-- Languages of sessions, over [$from, $until).
--
-- The language of a session's first event; null if it is not known.
--
-- Returns language, sessions, unique_users, page_views (counts); the 50 with most sessions, most first.
SELECT
    language,
    count(*) AS sessions,
    count(DISTINCT visitor_id) AS unique_users,
    sum(page_views) AS page_views
FROM sessions
WHERE started_at >= $from AND started_at < $until
GROUP BY language
ORDER BY sessions DESC, language
LIMIT 50
