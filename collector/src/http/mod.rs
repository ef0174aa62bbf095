//! HTTP: connections, routes and answers. What becomes of a request is decided by the [`door`](crate::door).

mod answer;
mod cors;
mod ingest;
mod native;
mod openapi;
mod protocols;
mod resource;
mod server;
mod setup;
mod static_files;

use std::future::ready;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use intake::truncated;
use serde_json::json;
use tower::Service;

use cors::Page;
use resource::Resource;
pub(crate) use server::serve;

use crate::door::Door;
use crate::settings::Settings;

/// Everything that the collector answers.
#[derive(Clone)]
pub struct Routes {
    router: Router,
    door: Arc<Door>,
}

impl Routes {
    pub(crate) fn new(door: Arc<Door>) -> Self {
        Self { router: router(door.clone()), door }
    }

    /// Answers any request.
    pub async fn answer(&self, request: Request) -> Response {
        let page = Page::of(&request, &self.door.directory);
        let mut response = if request.method() == Method::OPTIONS {
            cors::preflight(page, request.headers())
        } else {
            let mut response = self.router.clone().call(request).await.unwrap_or_else(|never| match never {});
            if let Some(page) = page {
                page.let_read(response.headers_mut());
            }
            response
        };
        cors::vary(response.headers_mut(), header::ORIGIN);
        response
    }
}

/// All resources, in the order in which their endpoints are listed.
fn resources(settings: &Settings) -> Resource {
    native::resource()
        .merge(static_files::resource(settings))
        .merge(openapi::resource())
        .merge(protocols::visits())
        .merge(protocols::plausible())
        .merge(protocols::umami())
        .merge(setup::resource())
        .merge(protocols::ga4())
        .merge(protocols::snowplow())
        .merge(protocols::posthog())
        .merge(protocols::segment())
        .merge(protocols::amplitude())
        .merge(protocols::mixpanel())
        .merge(protocols::jitsu())
        .merge(protocols::otlp())
}

fn router(door: Arc<Door>) -> Router {
    let Resource { endpoints, router } = resources(door.settings());
    let listing = Listing(endpoints.into());
    let (index, no_such_path, no_such_method) = (listing.clone(), listing.clone(), listing);
    router
        .route("/", get(move || ready(index.index())))
        .fallback(move |uri: Uri| ready(no_such_path.no_such_path(&uri)))
        .method_not_allowed_fallback(move |method: Method, uri: Uri| {
            ready(no_such_method.no_such_method(&method, &uri))
        })
        .with_state(door)
}

/// Paths longer than this are quoted in part.
const PATH_BYTES_MAX: usize = 200;

/// The endpoints, listed for people who look for them. Made once, because clients that probe for paths do so often.
#[derive(Clone)]
struct Listing(Arc<[String]>);

impl Listing {
    fn index(&self) -> Response {
        Json(json!({ "name": "dewpond collector", "endpoints": &*self.0 })).into_response()
    }

    fn no_such_path(&self, uri: &Uri) -> Response {
        let message = format!("there is nothing at {}; see `endpoints`", truncated(uri.path(), PATH_BYTES_MAX));
        (StatusCode::NOT_FOUND, Json(json!({ "message": message, "endpoints": &*self.0 }))).into_response()
    }

    fn no_such_method(&self, method: &Method, uri: &Uri) -> Response {
        let path = truncated(uri.path(), PATH_BYTES_MAX);
        let message = format!("{path} does not support {method}; see `endpoints`");
        (StatusCode::METHOD_NOT_ALLOWED, Json(json!({ "message": message, "endpoints": &*self.0 }))).into_response()
    }
}
