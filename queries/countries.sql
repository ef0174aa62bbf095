-- Countries of sessions, over [$from, $until).
--
-- The country of a session's first event, by its ISO 3166 code; null if it is not known.
--
-- Returns country, sessions, unique_users, page_views (counts); the 50 with most sessions, most first.
SELECT
    country,
    count(*) AS sessions,
    count(DISTINCT visitor_id) AS unique_users,
    sum(page_views) AS page_views
FROM sessions
WHERE started_at >= $from AND started_at < $until
GROUP BY country
ORDER BY sessions DESC, country
LIMIT 50
