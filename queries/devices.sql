-- Devices of sessions, over [$from, $until).
--
-- The kind of device of a session's first event: desktop, mobile, tablet and others; null if it is not known.
--
-- Returns device, sessions, unique_users, page_views (counts); the 50 with most sessions, most first.
SELECT
    device,
    count(*) AS sessions,
    count(DISTINCT visitor_id) AS unique_users,
    sum(page_views) AS page_views
FROM sessions
WHERE started_at >= $from AND started_at < $until
GROUP BY device
ORDER BY sessions DESC, device
LIMIT 50
