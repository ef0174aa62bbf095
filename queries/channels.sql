-- Channels of sessions, over [$from, $until).
--
-- The channel of a session's first event, in GA4's default grouping.
--
-- Returns channel, sessions, unique_users, page_views (counts); the 50 with most sessions, most first.
SELECT
    channel,
    count(*) AS sessions,
    count(DISTINCT visitor_id) AS unique_users,
    sum(page_views) AS page_views
FROM sessions
WHERE started_at >= $from AND started_at < $until
GROUP BY channel
ORDER BY sessions DESC, channel
LIMIT 50
