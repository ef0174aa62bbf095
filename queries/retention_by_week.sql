-- Retention by week: how many of those who came first in a week are active in the weeks after, over [$from, $until).
--
-- A cohort is everybody whose first event ever lies in a week, which begins on Monday. Somebody is retained in the week in
-- which they are active, whatever they did in the weeks between. Period 0 is the week itself, so it is 100 %. The last
-- period may not be over yet.
--
-- Returns cohort (date of the Monday), period (weeks since), users, cohort_users (counts), retention (0 to 1).
WITH seen AS (
    -- The weeks of every visitor id, those of the anonymous apart.
    SELECT
        CAST(date_trunc('week', occurred_at AT TIME ZONE $time_zone) AS DATE) AS week,
        visitor_id,
        user_id IS NULL AS is_anonymous
    FROM events
    WHERE visitor_id IS NOT NULL AND NOT is_bot
    GROUP BY CAST(date_trunc('week', occurred_at AT TIME ZONE $time_zone) AS DATE), visitor_id, user_id IS NULL
),
weeks AS (
    -- The weeks of every user, each once. Somebody anonymous is the user who signed in later.
    SELECT DISTINCT
        seen.week,
        coalesce(identities.user_visitor_id, seen.visitor_id) AS visitor_id
    FROM seen
    LEFT JOIN identities ON identities.anonymous_visitor_id = seen.visitor_id AND seen.is_anonymous
),
members AS (
    -- Each with the user's first.
    SELECT week, min(week) OVER (PARTITION BY visitor_id) AS cohort
    FROM weeks
),
mondays AS (
    -- Every week of the range.
    SELECT CAST(unnest(generate_series(
        CAST(date_trunc('week', CAST($from AT TIME ZONE $time_zone AS DATE)) AS DATE),
        CAST($until AT TIME ZONE $time_zone AS DATE),
        INTERVAL '7 days'
    )) AS DATE) AS week
),
cells AS (
    -- A cell for every cohort and every week from its own on, whether somebody came or not.
    SELECT cohorts.week AS cohort, periods.week
    FROM mondays AS cohorts
    JOIN mondays AS periods ON periods.week >= cohorts.week
    WHERE CAST(periods.week AS TIMESTAMP) AT TIME ZONE $time_zone < $until
),
counted AS (
    -- The users of each cell.
    SELECT cohort, week, count(*) AS users
    FROM members
    GROUP BY cohort, week
),
sized AS (
    -- Each cell with the users of its cohort, who are those of its first.
    SELECT
        cells.cohort,
        row_number() OVER (PARTITION BY cells.cohort ORDER BY cells.week) - 1 AS period,
        coalesce(counted.users, 0) AS users,
        first_value(counted.users) OVER (PARTITION BY cells.cohort ORDER BY cells.week) AS cohort_users
    FROM cells
    LEFT JOIN counted ON counted.cohort = cells.cohort AND counted.week = cells.week
)
SELECT
    cohort,
    period,
    users,
    cohort_users,
    CAST(users AS DOUBLE) / cohort_users AS retention
FROM sized
WHERE cohort_users IS NOT NULL
ORDER BY cohort, period
