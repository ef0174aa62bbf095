-- Entry pages of sessions, over [$from, $until).
--
-- The page of a session's first page view: host and path. Sessions without a page view are left out.
--
-- Returns hostname, path, sessions, unique_users, page_views (counts); the 50 with most sessions, most first.
SELECT
    entry_hostname AS hostname,
    entry_page AS path,
    count(*) AS sessions,
    count(DISTINCT visitor_id) AS unique_users,
    sum(page_views) AS page_views
FROM sessions
WHERE started_at >= $from AND started_at < $until AND entry_page IS NOT NULL
GROUP BY entry_hostname, entry_page
ORDER BY sessions DESC, entry_hostname, entry_page
LIMIT 50
