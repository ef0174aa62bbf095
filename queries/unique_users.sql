-- Unique users, of all time.
--
-- A user is a visitor id: the hash of the site and the user id, or of the anonymous id where there is no
-- user id. Events of nobody in particular and events of robots do not count.
--
-- Returns unique_users (count).
SELECT count(DISTINCT visitor_id) AS unique_users
FROM events
WHERE NOT is_bot
