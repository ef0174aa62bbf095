//! What is left unread because it cannot matter does not matter.

use crate::harness::check;

#[tokio::test]
async fn a_smallest_value_leaves_out_nothing_of_another_column() {
    check(&[
        ("SELECT min(occurred_at), max(revenue) FROM events", "2026-03-01T09:00:00Z 9.9900"),
        ("SELECT min(date), min(revenue), max(user_id) FROM events", "2026-03-01 1.0000 ann"),
        ("SELECT min(occurred_at), max(upper(name)) FROM events", "2026-03-01T09:00:00Z SIGNUP"),
        ("SELECT min(date) FILTER (WHERE name = 'page_view'), max(revenue) FROM events", "2026-03-01 9.9900"),
        ("SELECT max(visitor_id), min(revenue) FROM events WHERE name = 'purchase'", "2 1.0000"),
    ])
    .await;
}

#[tokio::test]
async fn a_condition_on_one_of_two_columns_of_a_name_is_about_that_one() {
    // Nobody's user_id is a name, so of a there is nothing.
    let none = "events a RIGHT JOIN events b ON a.name = b.user_id";
    check(&[
        (&format!("SELECT b.date, count(*) FROM {none} WHERE b.user_id IS NOT NULL OR a.date IS NOT NULL GROUP BY 1 ORDER BY 1"), "2026-03-01 5; 2026-03-02 1"),
        (&format!("SELECT b.visitor_id, a.visitor_id, b.name FROM {none} WHERE a.visitor_id IS NULL AND b.visitor_id = 4 ORDER BY 3"), "4 null page_view; 4 null signup"),
        (
            "SELECT b.path, count(*) FROM events a LEFT JOIN events b ON a.visitor_id = b.visitor_id AND a.name < b.name WHERE a.path = '/' OR b.path IS NULL GROUP BY 1 ORDER BY 1 NULLS FIRST",
            "null 5; /docs 1",
        ),
        (
            "SELECT a.occurred_at, b.occurred_at FROM events a JOIN events b USING (visitor_id) ORDER BY b.occurred_at DESC, a.occurred_at LIMIT 2",
            "2026-03-02T00:15:00Z 2026-03-02T08:00:00Z; 2026-03-02T08:00:00Z 2026-03-02T08:00:00Z",
        ),
    ])
    .await;
}
