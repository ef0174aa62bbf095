-- Referrers of sessions, over [$from, $until).
--
-- The host that a session's first event came from; null if it came from nowhere that was said.
--
-- Returns referrer_host, sessions, unique_users, page_views (counts); the 50 with most sessions, most first.
SELECT
    referrer_host,
    count(*) AS sessions,
    count(DISTINCT visitor_id) AS unique_users,
    sum(page_views) AS page_views
FROM sessions
WHERE started_at >= $from AND started_at < $until
GROUP BY referrer_host
ORDER BY sessions DESC, referrer_host
LIMIT 50
