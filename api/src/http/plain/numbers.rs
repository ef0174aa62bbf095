//! `/dashboard/numbers`: the overview of a site as a page without scripts, for whoever may see it: by his sign-in, on this
//! machine, or by the link of a share.

use std::sync::Arc;

use accounts::is_share_token;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

use super::page::{note, page};
use crate::html::escape;
use crate::http::caller::access::{Access, Caller};
use crate::http::error::ApiError;
use crate::http::figures::{Figures, Number, Table, Wanted, figures};
use crate::http::query_string::QueryString;
use crate::http::state::Api;
use crate::words::{Language, Word};

/// Rows of each table.
const ROWS: usize = 10;

pub(super) fn router(access: Arc<Access>) -> Router<Arc<Api>> {
    let show = move |state, query, headers| show(access, state, query, headers);
    Router::new().route("/dashboard/numbers", get(show))
}

async fn show(access: Arc<Access>, State(api): State<Arc<Api>>, query: QueryString, headers: HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|accepted| accepted.to_str().ok());
    let language = Language::accepted(accepted.unwrap_or_default());
    match numbers(&access, &api, query, headers, language).await {
        Ok(response) => response,
        Err(error) => {
            let words = error.words();
            let sentence = match error {
                ApiError::WithoutKey => language.say(Word::SignInFirst).to_owned(),
                _ => format!("{}: {}", language.say(Word::Trouble), words["message"].as_str().unwrap_or_default()),
            };
            note(error.status(), language, &sentence, "")
        }
    }
}

async fn numbers(
    access: &Access,
    api: &Api,
    query: QueryString,
    mut headers: HeaderMap,
    language: Language,
) -> Result<Response, ApiError> {
    let [site, share] = query.read(["site", "share"]).map_err(ApiError::invalid)?;
    if let Some(token) = &share {
        // Whoever opens a link is who has the link, whatever else his browser brings.
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).ok().filter(|_| is_share_token(token));
        headers.insert(header::AUTHORIZATION, bearer.ok_or(ApiError::WithoutKey)?);
    }
    let caller = access.caller(&Method::GET, &headers).await?;
    let reader = access.reader(&caller).await?;
    let (accounts, directory) = (api.people.accounts().await?, api.people.lake().sites().await?);
    let sites: Vec<String> = caller.sites(&directory, &accounts).map(|(site, _)| site.site_id.to_string()).collect();
    let site = match site {
        Some(site) => site,
        None => sites.first().cloned().ok_or_else(|| ApiError::NotFound("there is no site yet".to_owned()))?,
    };
    if !sites.contains(&site) {
        return Err(ApiError::NotFound(format!("there is no site {site}")));
    }
    let wanted =
        Wanted { site: &site, range: json!("30d"), compare: json!("previous_period"), filters: &[], rows: ROWS };
    let figures = figures(api, &reader, &wanted, language).await?;
    let hidden = share.as_deref().filter(|_| matches!(caller, Caller::Link(_)));
    let body = body(&site, &sites, hidden, &figures, language);
    let title = format!("{site} · {} · Dewpond", language.say(Word::Overview));
    Ok(page(StatusCode::OK, language, &title, &body))
}

/// - `share`: the token of the link by which the page is seen.
fn body(site: &str, sites: &[String], share: Option<&str>, figures: &Figures, language: Language) -> String {
    let say = |word| language.say(word);
    let cards: String = figures.numbers.iter().map(|number| card(number, language)).collect();
    let panels: String = figures.tables.iter().map(|one| panel(one, language)).collect();
    let head = format!(
        r#"<header class="top"><h1 class="page-title">{}</h1>{}</header>"#,
        escape(site),
        if share.is_none() { switch(site, sites, language) } else { String::new() }
    );
    format!(
        r#"<div class="page">{head}
<main id="main"><p class="standing"><span>{days}</span><span>{until} {complete}</span></p>
<section class="card summary"><dl class="cards">{cards}</dl></section>
<div class="panels">{panels}</div>
<p class="muted">{more}</p></main></div>"#,
        days = say(Word::LastDays),
        until = say(Word::FinalUntil),
        complete = escape(&clock(&figures.complete_until)),
        more = say(Word::WithScripts),
    )
}

/// The time of an answer without what nobody reads: `2026-03-31 11:59`.
fn clock(at: &str) -> String {
    at.get(..16).unwrap_or(at).replace('T', " ")
}

/// The choice of a site, which is a form.
fn switch(site: &str, sites: &[String], language: Language) -> String {
    if sites.len() < 2 {
        return String::new();
    }
    let option = |other: &String| {
        let selected = if other == site { " selected" } else { "" };
        format!("<option{selected}>{}</option>", escape(other))
    };
    let options: String = sites.iter().map(option).collect();
    let (title, show) = (language.say(Word::Site), language.say(Word::Show));
    format!(
        r#"<form class="top-tools" method="get"><label class="inline">{title} <select class="input" name="site">{options}</select></label><button class="button" type="submit">{show}</button></form>"#
    )
}

fn card(number: &Number, language: Language) -> String {
    let trend = match number.is_better() {
        Some(true) => "trend good",
        Some(false) => "trend bad",
        None => "trend",
    };
    let change = number.change.map_or_else(|| "–".to_owned(), |change| language.change(change));
    format!(
        r#"<div class="number-card"><dt class="number-title">{}</dt><dd class="number-value">{}</dd><dd class="number-before"><span class="{trend}">{change}</span></dd></div>"#,
        language.say(number.title),
        number.shown(language),
    )
}

fn panel(table: &Table, language: Language) -> String {
    let say = |word| language.say(word);
    let [first, second] = table.columns.map(say);
    let shown = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| language.count(value));
    let rows: String = table
        .rows
        .iter()
        .map(|(name, [first, second])| {
            format!(
                r#"<tr><th scope="row" class="wrap-any">{}</th><td class="number">{}</td><td class="number muted">{}</td></tr>"#,
                escape(name),
                shown(*first),
                shown(*second)
            )
        })
        .collect();
    let (title, of) = (say(table.title), say(table.of));
    let body = match rows.is_empty() {
        true => format!(r#"<p class="empty muted">{}</p>"#, say(Word::NothingYet)),
        false => format!(
            r#"<table class="table"><thead><tr><th scope="col">{of}</th><th scope="col" class="number">{first}</th><th scope="col" class="number">{second}</th></tr></thead><tbody>{rows}</tbody></table>"#
        ),
    };
    format!(r#"<section class="card padded"><div class="card-head"><h2>{title}</h2></div>{body}</section>"#)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::figures::Kind;

    #[test]
    fn a_page_has_the_numbers_and_what_came_from_others_is_text() {
        let figures = Figures {
            numbers: vec![Number {
                title: Word::BounceRate,
                kind: Kind::Share,
                value: Some(0.417),
                change: Some(0.05),
                is_worse: true,
            }],
            tables: vec![Table {
                title: Word::Pages,
                of: Word::Page,
                columns: [Word::Visitors, Word::PageViews],
                rows: vec![("/\"><img src=x onerror=alert(1)>".into(), [Some(1_307.0), None])],
            }],
            complete_until: "2026-03-31T11:59:41.250+02:00".into(),
        };
        let sites = ["shop".to_owned(), "<b>".to_owned()];
        let page = body("shop", &sites, None, &figures, Language::English);
        for there in [
            "41.7%",
            "trend bad",
            "+5%",
            "1,307",
            "2026-03-31 11:59",
            "&quot;&gt;&lt;img",
            "<option>&lt;b&gt;</option>",
        ] {
            assert!(page.contains(there), "{there}: {page}");
        }
        assert!(!page.contains("<img") && !page.contains("style="), "{page}");
        // Whoever has a link hears of no other site.
        assert!(!body("shop", &sites, Some("dps_1"), &figures, Language::English).contains("<option"));
    }
}
