-- Events by name, of all time.
--
-- Returns name, events (count), unique_users (count); the 100 most frequent names, most frequent first.
SELECT
    name,
    count(*) AS events,
    count(DISTINCT visitor_id) AS unique_users
FROM events
WHERE NOT is_bot
GROUP BY name
ORDER BY events DESC, name
LIMIT 100
