-- Retention by day: how many of those who came first on a day are active on the days after, over [$from, $until).
--
-- A cohort is everybody whose first event ever lies on a day. Somebody is retained on the day on which they are active,
-- whatever they did on the days between. Period 0 is the day itself, so it is 100 %. The last period may not be over yet.
--
-- Returns cohort (date), period (days since), users, cohort_users (counts), retention (0 to 1).
WITH seen AS (
    -- The days of every visitor id, those of the anonymous apart.
    SELECT CAST(occurred_at AT TIME ZONE $time_zone AS DATE) AS day, visitor_id, user_id IS NULL AS is_anonymous
    FROM events
    WHERE visitor_id IS NOT NULL AND NOT is_bot
    GROUP BY CAST(occurred_at AT TIME ZONE $time_zone AS DATE), visitor_id, user_id IS NULL
),
days AS (
    -- The days of every user, each once. Somebody anonymous is the user who signed in later.
    SELECT DISTINCT
        seen.day,
        coalesce(identities.user_visitor_id, seen.visitor_id) AS visitor_id
    FROM seen
    LEFT JOIN identities ON identities.anonymous_visitor_id = seen.visitor_id AND seen.is_anonymous
),
members AS (
    -- Each with the user's first.
    SELECT day, min(day) OVER (PARTITION BY visitor_id) AS cohort
    FROM days
),
calendar AS (
    -- Every day of the range.
    SELECT CAST(unnest(generate_series(
        CAST($from AT TIME ZONE $time_zone AS DATE),
        CAST($until AT TIME ZONE $time_zone AS DATE),
        INTERVAL '1 day'
    )) AS DATE) AS day
),
cells AS (
    -- A cell for every cohort and every day from its own on, whether somebody came or not.
    SELECT cohorts.day AS cohort, periods.day
    FROM calendar AS cohorts
    JOIN calendar AS periods ON periods.day >= cohorts.day
    WHERE CAST(periods.day AS TIMESTAMP) AT TIME ZONE $time_zone < $until
),
counted AS (
    -- The users of each cell.
    SELECT cohort, day, count(*) AS users
    FROM members
    GROUP BY cohort, day
),
sized AS (
    -- Each cell with the users of its cohort, who are those of its first.
    SELECT
        cells.cohort,
        row_number() OVER (PARTITION BY cells.cohort ORDER BY cells.day) - 1 AS period,
        coalesce(counted.users, 0) AS users,
        first_value(counted.users) OVER (PARTITION BY cells.cohort ORDER BY cells.day) AS cohort_users
    FROM cells
    LEFT JOIN counted ON counted.cohort = cells.cohort AND counted.day = cells.day
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
