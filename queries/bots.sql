-- Events of robots, which no other metric counts, over [$from, $until).
--
-- Returns bot_kind, events (count); most events first.
SELECT bot_kind, count(*) AS events
FROM events
WHERE is_bot AND occurred_at >= $from AND occurred_at < $until
GROUP BY bot_kind
ORDER BY events DESC, bot_kind
