-- Retention by month: how many of those who came first in a month are active in the months after, over the twelve months up
-- to that of $until.
--
-- A cohort is everybody whose first event ever lies in a calendar month. Somebody is retained in the month in which they
-- are active, whatever they did in the months between. Period 0 is the month itself, so it is 100 %. The last period may
-- not be over yet.
--
-- Returns cohort (date of the first of the month), period (months since), users, cohort_users (counts), retention (0 to 1).
WITH seen AS (
    -- The months of every visitor id, those of the anonymous apart.
    SELECT
        CAST(date_trunc('month', occurred_at AT TIME ZONE $time_zone) AS DATE) AS month,
        visitor_id,
        user_id IS NULL AS is_anonymous
    FROM events
    WHERE visitor_id IS NOT NULL AND NOT is_bot
    GROUP BY CAST(date_trunc('month', occurred_at AT TIME ZONE $time_zone) AS DATE), visitor_id, user_id IS NULL
),
months AS (
    -- The months of every user, each once. Somebody anonymous is the user who signed in later.
    SELECT DISTINCT
        seen.month,
        coalesce(identities.user_visitor_id, seen.visitor_id) AS visitor_id
    FROM seen
    LEFT JOIN identities ON identities.anonymous_visitor_id = seen.visitor_id AND seen.is_anonymous
),
members AS (
    -- Each with the user's first.
    SELECT month, min(month) OVER (PARTITION BY visitor_id) AS cohort
    FROM months
),
calendar AS (
    -- Every month of the range.
    SELECT CAST(unnest(generate_series(
        CAST(date_trunc('month', CAST($until AT TIME ZONE $time_zone AS DATE)) - INTERVAL '11 months' AS DATE),
        CAST($until AT TIME ZONE $time_zone AS DATE),
        INTERVAL '1 month'
    )) AS DATE) AS month
),
cells AS (
    -- A cell for every cohort and every month from its own on, whether somebody came or not.
    SELECT cohorts.month AS cohort, periods.month
    FROM calendar AS cohorts
    JOIN calendar AS periods ON periods.month >= cohorts.month
    WHERE CAST(periods.month AS TIMESTAMP) AT TIME ZONE $time_zone < $until
),
counted AS (
    -- The users of each cell.
    SELECT cohort, month, count(*) AS users
    FROM members
    GROUP BY cohort, month
),
sized AS (
    -- Each cell with the users of its cohort, who are those of its first.
    SELECT
        cells.cohort,
        row_number() OVER (PARTITION BY cells.cohort ORDER BY cells.month) - 1 AS period,
        coalesce(counted.users, 0) AS users,
        first_value(counted.users) OVER (PARTITION BY cells.cohort ORDER BY cells.month) AS cohort_users
    FROM cells
    LEFT JOIN counted ON counted.cohort = cells.cohort AND counted.month = cells.month
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
