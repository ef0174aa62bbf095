-- Events, of all time.
--
-- Page pings are left out: they say how long a page was looked at, not that something happened. Events of
-- robots do not count.
--
-- Returns events (count).
SELECT count(*) AS events
FROM events
WHERE name <> 'page_ping' AND NOT is_bot
