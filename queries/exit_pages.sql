-- Exit pages of sessions, over [$from, $until).
--
-- The page of a session's last page view: host and path. Sessions without a page view are left out.
--
-- Returns hostname, path, sessions, unique_users, page_views (counts); the 50 with most sessions, most first.
SELECT
    exit_hostname AS hostname,
    exit_page AS path,
    count(*) AS sessions,
    count(DISTINCT visitor_id) AS unique_users,
    sum(page_views) AS page_views
FROM sessions
WHERE started_at >= $from AND started_at < $until AND exit_page IS NOT NULL
GROUP BY exit_hostname, exit_page
ORDER BY sessions DESC, exit_hostname, exit_page
LIMIT 50
