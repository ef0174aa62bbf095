-- Sessions, of all time.
--
-- A session is a run of events by one visitor in which no pause exceeds 30 minutes; a pause of exactly 30
-- minutes stays in. Midnight, a campaign or a referrer do not split it. A session id that the client sent is
-- honoured: its events are one session, whatever the pauses. After 24 hours a session is split.
--
-- Returns sessions (count).
WITH paused AS (
    -- One row per event, with the event before it. Events without a session id form a run of their own.
    SELECT
        site_id,
        visitor_id,
        session_id,
        occurred_at,
        lag(occurred_at) OVER (
            PARTITION BY site_id, visitor_id, session_id ORDER BY occurred_at
        ) AS previous_at
    FROM events
    WHERE visitor_id IS NOT NULL AND NOT is_bot
),
opened AS (
    -- The event that opens a session carries its start; the others carry none.
    SELECT
        site_id,
        visitor_id,
        session_id,
        occurred_at,
        CASE
            WHEN previous_at IS NULL THEN occurred_at
            WHEN session_id IS NULL AND occurred_at > previous_at + INTERVAL '30 minutes' THEN occurred_at
        END AS opened_at
    FROM paused
),
started AS (
    -- Every event with the start of its session: the latest start so far.
    SELECT
        site_id,
        visitor_id,
        session_id,
        occurred_at,
        max(opened_at) OVER (
            PARTITION BY site_id, visitor_id, session_id ORDER BY occurred_at
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS started_at
    FROM opened
),
pieces AS (
    -- The pieces of at most 24 hours that sessions are split into; nearly always one.
    SELECT DISTINCT
        site_id,
        visitor_id,
        session_id,
        started_at,
        floor((extract(EPOCH FROM occurred_at) - extract(EPOCH FROM started_at)) / 86400) AS piece
    FROM started
)
SELECT count(*) AS sessions
FROM pieces
