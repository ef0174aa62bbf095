-- Top pages, over [$from, $until).
--
-- A page is a host and a path; the query string is not part of it. The path of an application that routes behind the hash
-- includes the route, as in /#/pricing.
--
-- Returns hostname, path, page_views (count), unique_users (count); the 50 most viewed, most viewed first.
SELECT
    hostname,
    path,
    count(*) AS page_views,
    count(DISTINCT visitor_id) AS unique_users
FROM events
WHERE
    name = 'page_view'
    AND occurred_at >= $from
    AND occurred_at < $until
    AND NOT is_bot
GROUP BY hostname, path
ORDER BY page_views DESC, hostname, path
LIMIT 50
