//! `/v1/auth/oidc/…`: signing in with a company. The browser is sent there and comes back with a code; a cookie of this server
//! says that it is the same browser, and an answer to its own question.

use std::sync::Arc;

use accounts::{Admission, Identity};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::{auth, shown};
use crate::http::body::{Nothing, Sent};
use crate::http::caller::access::{Access, Caller};
use crate::http::caller::client::Sender;
use crate::http::caller::cookies;
use crate::http::caller::this_machine;
use crate::http::error::ApiError;
use crate::http::plain::page;
use crate::http::query_string::QueryString;
use crate::http::state::Api;
use crate::mail::settings::PublicUrl;
use crate::providers::exchange::{Begun, Exchange, ExchangeError};
use crate::providers::settings::Provider;
use crate::words::Language;

/// Where somebody goes who does not say it.
const HOME: &str = "/dashboard/";

pub(super) fn open_router(access: Arc<Access>) -> Router<Arc<Api>> {
    let come_back = move |state, id, query, headers, sender| come_back(access, state, id, query, headers, sender);
    Router::new().route("/v1/auth/oidc/{id}", get(begin)).route("/v1/auth/oidc/{id}/callback", get(come_back))
}

pub(super) fn router() -> Router<Arc<Api>> {
    Router::new().route("/v1/me/identities/{id}", post(connect).delete(disconnect))
}

fn exchange<'a>(api: &'a Api, id: &str) -> Result<(&'a Arc<Exchange>, &'a PublicUrl), ApiError> {
    let found = api.outward.providers.find(id).zip(api.outward.public_url.as_ref());
    found.ok_or_else(|| ApiError::NotFound(format!("nobody signs in here with {id:?}")))
}

fn redirect_to(public: &PublicUrl, id: &str) -> String {
    public.at(&format!("/v1/auth/oidc/{id}/callback"))
}

fn begun_by(api: &Api, id: &str, next: &str, connects: bool) -> Begun {
    let secret = || api.people.lake().new_secret("");
    Begun {
        provider: id.to_owned(),
        state: secret(),
        nonce: secret(),
        verifier: secret(),
        next: next.to_owned(),
        connects,
    }
}

async fn begin(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    query: QueryString,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let [next] = query.read(["next"]).map_err(ApiError::invalid)?;
    let next = within(next.as_deref().unwrap_or(HOME));
    let (exchange, public) = exchange(&api, &id)?;
    // The company sends people to the public address, and cookies are of one host.
    if !public.is_at(this_machine::host(&headers).as_deref()) {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish();
        return Ok(Redirect::to(&public.at(&format!("/v1/auth/oidc/{id}?{query}"))).into_response());
    }
    let begun = begun_by(&api, &id, next, false);
    let to = match exchange.begin(&begun, &redirect_to(public, &id)).await {
        Ok(to) => to,
        Err(error) => return Ok(refused(&headers, of_exchange(&exchange.provider, error))),
    };
    let cookies = vec![cookies::keep_begun(&headers, &written(&begun))];
    Ok(shown::with_cookies(Redirect::to(&to).into_response(), cookies))
}

/// Begins to connect the account of somebody who is signed in. A page of this server asks it, so nobody is led into having
/// somebody else's account of the company connected with his.
async fn connect(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Sent(Nothing {}): Sent<Nothing>,
) -> Result<Response, ApiError> {
    let Caller::Person { .. } = caller else {
        return Err(ApiError::MayNot("sign in as a person to connect an account".to_owned()));
    };
    let (exchange, public) = exchange(&api, &id)?;
    if !public.is_at(this_machine::host(&headers).as_deref()) {
        return Err(ApiError::invalid(format!("open this server by its address, {}, to do that", public.at("/"))));
    }
    let begun = begun_by(&api, &id, "/dashboard/account", true);
    let to = exchange.begin(&begun, &redirect_to(public, &id)).await;
    let to = to.map_err(|error| of_exchange(&exchange.provider, error))?;
    let cookies = vec![cookies::keep_begun(&headers, &written(&begun))];
    Ok(shown::with_cookies(Json(json!({ "url": to })).into_response(), cookies))
}

async fn disconnect(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Sender(client): Sender,
) -> Result<StatusCode, ApiError> {
    let Caller::Person { user, .. } = caller else {
        return Err(ApiError::MayNot("only a person has accounts elsewhere".to_owned()));
    };
    let (exchange, _) = exchange(&api, &id)?;
    api.people.disconnect_identity(&user.id, &exchange.provider.issuer, &client, (api.clock)()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A browser that comes back from the company, whatever the company says.
async fn come_back(
    access: Arc<Access>,
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    query: QueryString,
    headers: HeaderMap,
    Sender(client): Sender,
) -> Response {
    let entered = enter(&access, &api, &id, query.into_pairs(), &headers, &client).await;
    let response = entered.unwrap_or_else(|error| refused(&headers, error));
    // Whatever came of it: the question is answered.
    shown::with_cookies(response, vec![cookies::drop_begun(&headers)])
}

async fn enter(
    access: &Access,
    api: &Api,
    id: &str,
    said: Vec<(String, String)>,
    headers: &HeaderMap,
    client: &accounts::Client,
) -> Result<Response, ApiError> {
    let (exchange, public) = exchange(api, id)?;
    // Companies send more than they need to.
    let said = |name: &str| said.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let begun = cookies::begun(headers).and_then(read).filter(|begun| begun.provider == id);
    let is_ours = begun.as_ref().zip(said("state")).is_some_and(|(begun, state)| is_same(&begun.state, state));
    let Some(begun) = begun.filter(|_| is_ours) else {
        return Err(ApiError::invalid(
            "this answer is to no question of this browser, or to an old one: sign in again",
        ));
    };
    // RFC 9207: the answer is of the company that was asked.
    if said("iss").is_some_and(|issuer| issuer != exchange.provider.issuer) {
        return Err(ApiError::invalid("this answer is of another company than was asked: sign in again"));
    }
    let name = &exchange.provider.name;
    let Some(code) = said("code") else {
        let why = said("error_description").or(said("error")).unwrap_or("it sent no code");
        return Err(ApiError::MayNot(format!("{name} has not signed you in: {}", one_line(why))));
    };
    let now = (api.clock)();
    let identity: Identity = exchange
        .finish(&begun, code, &redirect_to(public, id), now)
        .await
        .map_err(|error| of_exchange(&exchange.provider, error))?;
    let admission = admission(&exchange.provider);
    if begun.connects {
        let Caller::Person { user, .. } = access.caller(&Method::GET, headers).await? else {
            return Err(ApiError::MayNot("sign in as a person to connect an account".to_owned()));
        };
        api.people.connect_identity(&user.id, &identity, &admission, client, now).await?;
        return Ok(Redirect::to(within(&begun.next)).into_response());
    }
    let signed = api.people.sign_in_by_provider(&identity, &admission, client, now).await?;
    auth::end_former(api, headers, client).await?;
    let response = Redirect::to(within(&begun.next)).into_response();
    Ok(shown::with_cookies(response, cookies::keep(headers, &signed.tokens, now)))
}

fn admission(provider: &Provider) -> Admission {
    Admission {
        domains: (!provider.any_domain).then(|| provider.domains.clone()),
        organisation: provider.organisation.clone(),
        role: provider.role,
    }
}

fn of_exchange(provider: &Provider, error: ExchangeError) -> ApiError {
    let name = &provider.name;
    // What the company said is for whoever runs this server: it may have words of others.
    tracing::warn!(provider = provider.id, %error, "nobody was signed in with a company");
    match error {
        ExchangeError::Away(_) => {
            ApiError::NotYet(format!("{name} cannot be asked who you are now; this server's log says why"))
        }
        ExchangeError::NotBelieved(_) => {
            ApiError::MayNot(format!("{name} has not shown who you are: sign in again; this server's log says why"))
        }
    }
}

/// A page that says why somebody was not signed in.
fn refused(headers: &HeaderMap, error: ApiError) -> Response {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|accepted| accepted.to_str().ok());
    let language = Language::accepted(accepted.unwrap_or_default());
    let words = error.words();
    let sentence = words["message"].as_str().unwrap_or_default();
    let back = r#"<p><a class="button" href="/dashboard/sign-in">← Dewpond</a></p>"#;
    page::note(error.status(), language, sentence, back)
}

/// An address within the dashboard; its beginning for any other. A link to this server leads nobody elsewhere.
fn within(next: &str) -> &str {
    let is_odd = |char: char| char.is_control() || char == '\\';
    match next.starts_with(HOME) && !next.contains("//") && !next.contains(is_odd) && next.is_ascii() {
        true => next,
        false => HOME,
    }
}

fn is_same(kept: &str, sent: &str) -> bool {
    // Compared in constant time, by `blake3`.
    blake3::hash(kept.as_bytes()) == blake3::hash(sent.as_bytes())
}

fn one_line(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(200).collect()
}

fn written(begun: &Begun) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(begun).expect("a question is plain data"))
}

fn read(cookie: &str) -> Option<Begun> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cookie).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_elsewhere() {
        for (next, expected) in [
            ("/dashboard/", "/dashboard/"),
            ("/dashboard/sessions?site=shop", "/dashboard/sessions?site=shop"),
            ("https://evil.example/", HOME),
            ("//evil.example/dashboard/", HOME),
            ("/dashboard//evil.example", HOME),
            ("/dashboard/\\evil.example", HOME),
            ("/\\evil.example", HOME),
            ("/dashboard/\r\nSet-Cookie: a=b", HOME),
            ("/dashboardevil", HOME),
            ("javascript:alert(1)", HOME),
            ("", HOME),
        ] {
            assert_eq!(within(next), expected, "{next}");
        }
    }

    #[test]
    fn a_question_comes_back_as_it_was_and_what_is_none_is_none() {
        let text = |text: &str| text.to_owned();
        let begun = Begun {
            provider: text("a"),
            state: text("s"),
            nonce: text("n"),
            verifier: text("v"),
            next: text(HOME),
            connects: true,
        };
        assert_eq!(read(&written(&begun)), Some(begun));
        for odd in ["", "%", "e30", &URL_SAFE_NO_PAD.encode("{\"provider\":1}")] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }
}
