//! Values that somebody typed behind `--param`.

use crate::harness::{ask, session};

#[tokio::test]
async fn a_parameter_has_the_type_of_what_it_is_compared_with() {
    let session = session().await;
    let count = |condition: &str| format!("SELECT count(*) FROM events WHERE {condition}");
    for (condition, params, expected) in [
        // Ids of shops and phone books: digits, but no numbers.
        ("user_id = $id", &["id=007"][..], "2"),
        ("user_id = $id", &["id=7"], "1"),
        ("user_id = $id", &["id=2026"], "1"),
        ("user_id <> $id", &["id=7"], "5"),
        ("$id = user_id", &["id=007"], "2"),
        ("user_id IN ($a, $b)", &["a=007", "b=2026"], "3"),
        ("user_id LIKE $id", &["id=00%"], "2"),
        ("user_id LIKE $id", &["id=2026"], "1"),
        ("user_id BETWEEN $a AND $b", &["a=0", "b=3"], "3"),
        ("user_id IS NOT DISTINCT FROM $id", &["id=007"], "2"),
        ("user_id IS NOT DISTINCT FROM $id", &["id=null"], "2"),
        ("coalesce(user_id, '') = $id", &["id=007"], "2"),
        ("name || user_id = 'signup' || $id", &["id=007"], "1"),
        ("properties->>'items' = $n", &["n=3"], "1"),
        ("(properties->>'items')::int >= $n", &["n=3"], "2"),
        ("properties->>$key = 'pro'", &["key=plan"], "3"),
        ("name = $name AND user_id = $id", &["name='signup'", "id='007'"], "1"),
        ("user_id IN (SELECT user_id FROM events WHERE user_id = $id)", &["id=007"], "2"),
        ("EXISTS (SELECT 1 FROM events f WHERE f.user_id = $id AND f.name = events.name)", &["id=2026"], "3"),
        // Numbers.
        ("visitor_id = $v", &["v=3"], "2"),
        ("visitor_id = $v", &["v=03"], "2"),
        ("visitor_id > $v", &["v=2.5"], "4"),
        ("revenue = $r", &["r=9.99"], "1"),
        ("revenue >= $r", &["r=1"], "2"),
        ("visitor_id % $n = 0", &["n=2"], "4"),
        // Days and times.
        ("date = $day", &["day=2026-03-02"], "2"),
        ("occurred_at >= $from", &["from=2026-03-02"], "2"),
        ("occurred_at >= $from AND occurred_at < $until", &["from=2026-03-01T22:00:00Z", "until=2026-03-02"], "3"),
        ("occurred_at AT TIME ZONE 'Europe/Berlin' >= $from", &["from=2026-03-02"], "4"),
        ("occurred_at < TIMESTAMPTZ '2026-03-01T08:30:00Z' + $pause", &["pause=2 hours"], "1"),
        // Ids of events, and truth.
        ("event_id = $id", &["id=00000000-0000-4000-8000-000000000007"], "1"),
        ("event_id IN ($id)", &["id=00000000-0000-4000-8000-000000000002"], "1"),
        ("is_bot = $bot", &["bot=false"], "8"),
    ] {
        let sql = count(condition);
        match ask(&session, &sql, params).await {
            Ok(answer) => assert_eq!(answer, expected, "{condition} with {params:?}"),
            Err(error) => panic!("{condition} with {params:?}: {error}"),
        }
    }
    assert_eq!(ask(&session, "SELECT name FROM events ORDER BY event_id LIMIT $n", &["n=1"]).await.unwrap(), "signup");
    assert_eq!(ask(&session, "SELECT $a, $b, $c", &["a=007", "b=7", "c=x"]).await.unwrap(), "007 7 x");
}

#[tokio::test]
async fn a_parameter_that_cannot_be_compared_or_is_not_given_is_named() {
    let session = session().await;
    for (condition, params, part) in [
        ("visitor_id = $v", &["v=abc"][..], "$v is compared with numbers, and \"abc\" is none"),
        ("occurred_at >= $from", &["from=yesterday"], "$from is compared with times"),
        ("date = $day", &["day=monday"], "$day is compared with days"),
        ("event_id = $id", &["id=7"], "$id is compared with UUIDs"),
        ("is_bot = $bot", &["bot=maybe"], "$bot is compared with true and false"),
        ("occurred_at >= $start", &["from=2026-03-01"], "--param start=VALUE"),
    ] {
        let error = ask(&session, &format!("SELECT count(*) FROM events WHERE {condition}"), params).await.unwrap_err();
        assert!(error.to_string().contains(part), "{condition}: {error}");
    }
}
