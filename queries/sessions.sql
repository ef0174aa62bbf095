-- Sessions, of all time.
--
-- A session is a run of events by one visitor in which no pause exceeds 30 minutes; a pause of exactly 30
-- minutes stays in. Midnight, a campaign or a referrer do not split it. A session id that the client sent is
-- honoured: its events are one session, whatever the pauses. An event 24 hours after the first of its session, or later,
-- begins another. Both times are settings of a site.
--
-- Returns sessions (count).
SELECT count(*) AS sessions
FROM sessions
