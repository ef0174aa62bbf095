-- Unique users who had an object in view, of all time.
--
-- The event is object_in_view: an element that the page marked was visible on the screen.
--
-- Returns unique_users (count).
SELECT count(DISTINCT visitor_id) AS unique_users
FROM events
WHERE name = 'object_in_view' AND NOT is_bot
