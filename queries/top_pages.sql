-- Top pages, over [$from, $until).
--
-- A page is a host and a path; the query string is not part of it. The path of an application that routes behind the hash
-- includes the route, as in /#/pricing.
--
-- Returns hostname, path, page_views (count), unique_users (count); the 50 most viewed, most viewed first.
WITH viewed AS (
    -- The page views of every visitor id by page.
    SELECT hostname, path, visitor_id, user_id IS NULL AS is_anonymous, count(*) AS page_views
    FROM events
    WHERE
        name = 'page_view'
        AND occurred_at >= $from
        AND occurred_at < $until
        AND NOT is_bot
    GROUP BY hostname, path, visitor_id, user_id IS NULL
)
-- Somebody anonymous counts as the user who signed in later.
SELECT
    viewed.hostname,
    viewed.path,
    sum(viewed.page_views) AS page_views,
    count(DISTINCT coalesce(identities.user_visitor_id, viewed.visitor_id)) AS unique_users
FROM viewed
LEFT JOIN identities ON identities.anonymous_visitor_id = viewed.visitor_id AND viewed.is_anonymous
GROUP BY viewed.hostname, viewed.path
ORDER BY page_views DESC, viewed.hostname, viewed.path
LIMIT 50
