-- Engagement of the sessions that began in [$from, $until).
--
-- A bounce is a session of one page view and nothing else but pings, looked at for less than ten seconds. All other
-- sessions are engaged, so bounce_rate = 1 - engagement_rate. The duration of a session is the time from its first event
-- to its last, 0 if it has only one; engaged time is the time in which a page was looked at.
--
-- Returns sessions (count), bounce_rate, engagement_rate (0 to 1), duration_s_mean, duration_s_median, engaged_s_mean,
-- page_views_mean; all but sessions are null without sessions.
WITH counted AS (
    -- All sessions of the range.
    SELECT
        count(*) AS sessions,
        count(*) FILTER (WHERE NOT is_bounce) AS engaged_sessions,
        avg(duration_s) AS duration_s_mean,
        median(CAST(duration_s AS DOUBLE)) AS duration_s_median,
        avg(engaged_s) AS engaged_s_mean,
        avg(page_views) AS page_views_mean
    FROM sessions
    WHERE started_at >= $from AND started_at < $until
)
SELECT
    sessions,
    1 - CAST(engaged_sessions AS DOUBLE) / nullif(sessions, 0) AS bounce_rate,
    CAST(engaged_sessions AS DOUBLE) / nullif(sessions, 0) AS engagement_rate,
    duration_s_mean,
    duration_s_median,
    engaged_s_mean,
    page_views_mean
FROM counted
