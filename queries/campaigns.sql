-- Campaigns of sessions, over [$from, $until).
--
-- Source, medium and campaign of a session's first event. Sessions without any of them are left out.
--
-- Returns utm_source, utm_medium, utm_campaign, sessions, unique_users, page_views (counts); the 50 with most sessions, most first.
SELECT
    utm_source,
    utm_medium,
    utm_campaign,
    count(*) AS sessions,
    count(DISTINCT visitor_id) AS unique_users,
    sum(page_views) AS page_views
FROM sessions
WHERE started_at >= $from AND started_at < $until AND coalesce(utm_source, utm_medium, utm_campaign) IS NOT NULL
GROUP BY utm_source, utm_medium, utm_campaign
ORDER BY sessions DESC, utm_source, utm_medium, utm_campaign
LIMIT 50
