-- Page views, of all time.
--
-- Returns page_views (count).
SELECT count(*) AS page_views
FROM events
WHERE name = 'page_view' AND NOT is_bot
