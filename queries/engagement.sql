-- Engagement of the sessions that began in [$from, $until).
--
-- A bounce is a session of one page view and nothing else but pings, looked at for less than ten seconds. All other
-- sessions are engaged, so bounce_rate = 1 - engagement_rate. The duration of a session is the time from its first event
-- to its last, 0 if it has only one; engaged time is the time in which a page was looked at.
--
-- Returns sessions (count), bounce_rate, engagement_rate (0 to 1), duration_s_mean, duration_s_median, engaged_s_mean,
-- page_views_mean; all but sessions are null without sessions.
WITH durations AS (
    -- The sessions of the range by their duration. The median comes of it without looking at each session again.
    SELECT
        duration_s,
        count(*) AS sessions,
        count(*) FILTER (WHERE NOT is_bounce) AS engaged_sessions,
        sum(engaged_s) AS engaged_s,
        sum(page_views) AS page_views
    FROM sessions
    WHERE started_at >= $from AND started_at < $until
    GROUP BY duration_s
),
counted AS (
    -- All of them.
    SELECT
        CAST(sum(sessions) AS BIGINT) AS sessions,
        sum(engaged_sessions) AS engaged_sessions,
        CAST(sum(duration_s * sessions) AS DOUBLE) / sum(sessions) AS duration_s_mean,
        CAST(sum(engaged_s) AS DOUBLE) / sum(sessions) AS engaged_s_mean,
        CAST(sum(page_views) AS DOUBLE) / sum(sessions) AS page_views_mean
    FROM durations
),
ranked AS (
    -- How many sessions last as long, or less.
    SELECT duration_s, sum(sessions) OVER (ORDER BY duration_s) AS sessions_until
    FROM durations
),
middle AS (
    -- The two sessions in the middle, which are one if their number is odd.
    SELECT
        min(ranked.duration_s) FILTER (WHERE 2 * ranked.sessions_until >= counted.sessions) AS first_s,
        min(ranked.duration_s) FILTER (WHERE 2 * ranked.sessions_until > counted.sessions) AS second_s
    FROM ranked
    CROSS JOIN counted
)
SELECT
    coalesce(counted.sessions, 0) AS sessions,
    1 - CAST(counted.engaged_sessions AS DOUBLE) / counted.sessions AS bounce_rate,
    CAST(counted.engaged_sessions AS DOUBLE) / counted.sessions AS engagement_rate,
    counted.duration_s_mean,
    CAST(middle.first_s + middle.second_s AS DOUBLE) / 2 AS duration_s_median,
    counted.engaged_s_mean,
    counted.page_views_mean
FROM counted
CROSS JOIN middle
