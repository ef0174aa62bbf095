//! How tightly operators bind, and what the dialect reads beside PostgreSQL's.

use crate::harness::{check, check_refused};

#[tokio::test]
async fn arrows_bind_as_in_postgresql() {
    check(&[
        // As in the documentation of PostgreSQL and of DuckDB, and as people type it first.
        ("SELECT count(*) FROM events WHERE properties->>'plan' = 'pro'", "3"),
        ("SELECT count(*) FROM events WHERE properties->>'plan' <> 'pro'", "3"),
        ("SELECT count(*) FROM events WHERE properties->>'plan' != 'pro'", "3"),
        ("SELECT count(*) FROM events WHERE properties->>'plan' IN ('pro', 'team')", "4"),
        ("SELECT count(*) FROM events WHERE properties->>'plan' NOT IN ('pro', 'team')", "2"),
        ("SELECT count(*) FROM events WHERE properties->>'plan' LIKE 'pr%'", "3"),
        ("SELECT count(*) FROM events WHERE properties->>'plan' ILIKE 'PR%'", "3"),
        ("SELECT count(*) FROM events WHERE properties->>'plan' NOT LIKE 'pr%'", "3"),
        ("SELECT count(*) FROM events WHERE properties->>'plan' BETWEEN 'f' AND 'g'", "2"),
        ("SELECT count(*) FROM events WHERE properties->>'plan' IS NULL", "2"),
        ("SELECT count(*) FROM events WHERE properties->>'plan' IS NOT NULL", "6"),
        ("SELECT count(*) FROM events WHERE properties->>'plan' IS DISTINCT FROM 'pro'", "5"),
        ("SELECT count(*) FROM events WHERE user_id IS NOT DISTINCT FROM '7' AND name = 'signup'", "1"),
        ("SELECT count(*) FROM events WHERE is_bot IS DISTINCT FROM true AND name = 'signup'", "3"),
        ("SELECT count(*) FROM events WHERE properties->>'plan' ~ '^p'", "3"),
        ("SELECT count(*) FROM events WHERE properties->>'plan' > 'g'", "4"),
        ("SELECT count(*) FROM events WHERE NOT properties->>'plan' = 'pro'", "3"),
        ("SELECT count(*) FROM events WHERE name = 'signup' AND properties->>'plan' = 'pro' OR path = '/docs/sql'", "2"),
        ("SELECT count(*) FILTER (WHERE properties->>'plan' = 'pro') FROM events", "3"),
        ("SELECT sum(CASE WHEN properties->>'plan' = 'pro' THEN 1 ELSE 0 END) FROM events", "3"),
        ("SELECT CASE properties->>'plan' WHEN 'pro' THEN 'p' ELSE 'o' END FROM events ORDER BY event_id LIMIT 2", "p; p"),
        ("SELECT properties->>'plan' AS plan, count(*) FROM events GROUP BY properties->>'plan' ORDER BY 2 DESC, 1", "pro 3; free 2; null 2; team 1"),
        ("SELECT name FROM events WHERE properties->>'plan' = 'free' ORDER BY properties->>'items' DESC", "signup; signup"),
        ("SELECT e.name FROM events e JOIN events f ON e.properties->>'plan' = f.properties->>'plan' AND e.name < f.name ORDER BY 1", "page_view; page_view; purchase"),
        ("SELECT count(*) FROM events WHERE properties->'a'->'b'->>0 = 'x'", "1"),
        ("SELECT count(*) FROM events WHERE properties->'a'->>'b' = '[\"x\",\"y\"]'", "1"),
        ("SELECT count(*) FROM events WHERE properties->>'plan' = 'pro' = true", "3"),
    ])
    .await;
}

#[tokio::test]
async fn what_follows_an_arrow_is_not_part_of_its_key() {
    check(&[
        ("SELECT properties->>'plan' || '-' || name FROM events ORDER BY event_id LIMIT 1", "pro-signup"),
        ("SELECT name || '-' || (properties->>'plan') FROM events ORDER BY event_id LIMIT 1", "signup-pro"),
        ("SELECT properties#>>'{a,b,1}' FROM events ORDER BY event_id LIMIT 1", "y"),
        ("SELECT count(*) FROM events WHERE properties#>>'{a,b,0}' = 'x'", "1"),
        ("SELECT properties#>>ARRAY['a','b','1'] FROM events ORDER BY event_id LIMIT 1", "y"),
        ("SELECT properties#>'{a,b}'->>1 FROM events ORDER BY event_id LIMIT 1", "y"),
        ("SELECT properties#>>'{a}' || '!' FROM events ORDER BY event_id LIMIT 1", "{\"b\":[\"x\",\"y\"]}!"),
        ("SELECT sum((properties->>'items')::int) FROM events", "13"),
        ("SELECT properties::jsonb->>'plan' FROM events ORDER BY event_id LIMIT 1", "pro"),
        ("SELECT sum((properties::json->>'items')::bigint) FROM events", "13"),
        ("SELECT 1 + 2 || 'x'", "3x"),
        ("SELECT 2 ^ 3 * 2", "16.0"),
        ("SELECT -2 ^ 2", "4.0"),
        ("SELECT properties->'a' FROM events ORDER BY event_id LIMIT 1", "{\"b\":[\"x\",\"y\"]}"),
        ("SELECT 'a' || 2 * 3", "a6"),
    ])
    .await;
    check_refused(&[
        ("SELECT 'x-' || properties->>'plan' FROM events", &["write || (properties ->> 'plan')"]),
        ("SELECT properties->>'items'::int FROM events", &["write (properties ->> 'items')::int"]),
        ("SELECT properties->>'items' + 1 FROM events", &["write (properties ->> 'items')::numeric + 1"]),
        ("SELECT 1 + properties->>'items' FROM events", &["write + (properties ->> 'items')"]),
        ("SELECT sum(properties->>'items'::numeric) FROM events", &["write (properties ->> 'items')::numeric"]),
    ])
    .await;
}

#[tokio::test]
async fn forms_of_other_dialects_are_still_read() {
    check(&[
        ("SELECT * EXCLUDE (n) FROM (SELECT 1 AS n, 2 AS m)", "2"),
        ("SELECT * EXCEPT (n) FROM (SELECT 1 AS n, 2 AS m)", "2"),
        ("SELECT * REPLACE (n + 1 AS n) FROM (SELECT 1 AS n, 2 AS m)", "2 2"),
        ("SELECT `name` FROM events ORDER BY event_id LIMIT 1", "signup"),
        ("SELECT 1 AS n, 2 AS m,", "1 2"),
        ("FROM events SELECT count(*)", "8"),
        ("SELECT name, count(*) FROM events GROUP BY ALL ORDER BY 1", "page_view 3; purchase 2; signup 3"),
    ])
    .await;
}
