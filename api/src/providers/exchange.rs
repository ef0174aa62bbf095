//! Asks a company who somebody is: the authorization code flow of OpenID Connect with PKCE, a state and a nonce. What the
//! company answers is believed once its signature, audience, issuer, time and nonce were checked, which `openidconnect` does.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use accounts::Identity;
use chrono::{DateTime, Utc};
use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreProviderMetadata, CoreUserInfoClaims};
use openidconnect::{
    AccessTokenHash, AsyncHttpClient, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IssuerUrl, Nonce, OAuth2TokenResponse, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, Scope, TokenResponse,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::settings::Provider;

/// How long one answer of the company is waited for.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What the company can do, and its keys, are read again after this.
const FRESH_FOR: Duration = Duration::from_secs(3_600);

/// An answer of the company is a page of text.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The company as `openidconnect` asks it.
type Asked =
    CoreClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointMaybeSet, EndpointMaybeSet>;

/// A company that can be asked.
pub(crate) struct Exchange {
    pub(crate) provider: Provider,
    http: Http,
    known: Mutex<Option<(Instant, Arc<CoreProviderMetadata>)>>,
}

/// What a browser keeps while it is at the company's. It knows nothing by it that it could not make up for itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begun {
    /// The provider.
    pub(crate) provider: String,
    /// What the company sends back, so that no other page's answer is taken for this browser's.
    pub(crate) state: String,
    /// What the company signs, so that an answer is of this question.
    pub(crate) nonce: String,
    /// What only this browser knows, so that nobody else can use what the company sends.
    pub(crate) verifier: String,
    /// Where the person goes then, on this server.
    pub(crate) next: String,
    /// Whether the person is signed in, and connects the account.
    pub(crate) connects: bool,
}

/// Why a company has not said who somebody is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// It cannot be reached, or is set wrongly. Whoever runs this server can do something about it.
    #[error("{0}")]
    Away(String),
    /// It said something that must not be believed. Whoever signs in may try again.
    #[error("{0}")]
    NotBelieved(String),
}

impl Exchange {
    pub(super) fn new(provider: Provider) -> Result<Self, ExchangeError> {
        // A redirect would lead this server to wherever the company says.
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(TIMEOUT);
        let client = client.user_agent(concat!("dewpond/", env!("CARGO_PKG_VERSION"))).build().map_err(away)?;
        Ok(Self { provider, http: Http(client), known: Mutex::default() })
    }

    /// Where the person is sent.
    ///
    /// - `redirect`: where the company sends him back to, on this server.
    pub(crate) async fn begin(&self, begun: &Begun, redirect: &str) -> Result<String, ExchangeError> {
        let metadata = self.metadata(false).await?;
        let verifier = PkceCodeVerifier::new(begun.verifier.clone());
        let (state, nonce) = (CsrfToken::new(begun.state.clone()), Nonce::new(begun.nonce.clone()));
        let client = self.client_of(&metadata, redirect)?;
        let asked = client.authorize_url(CoreAuthenticationFlow::AuthorizationCode, move || state, move || nonce);
        let asked = asked.add_scope(Scope::new("email".to_owned())).add_scope(Scope::new("profile".to_owned()));
        let (url, _, _) = asked.set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier)).url();
        Ok(url.into())
    }

    /// Who the person is that came back with a code.
    pub(crate) async fn finish(
        &self,
        begun: &Begun,
        code: &str,
        redirect: &str,
        now: DateTime<Utc>,
    ) -> Result<Identity, ExchangeError> {
        let metadata = self.metadata(false).await?;
        let client = self.client_of(&metadata, redirect)?;
        let asked = client.exchange_code(AuthorizationCode::new(code.to_owned())).map_err(away)?;
        let asked = asked.set_pkce_verifier(PkceCodeVerifier::new(begun.verifier.clone()));
        let answer = asked.request_async(&self.http).await.map_err(not_believed)?;
        let token = answer.id_token().ok_or_else(|| not_believed_words("it sent no id token"))?;
        let nonce = Nonce::new(begun.nonce.clone());
        let mut metadata = metadata;
        let claims = match token.claims(&client.id_token_verifier().set_time_fn(move || now), &nonce) {
            Ok(claims) => claims,
            // Its keys may be others by now.
            Err(_) => {
                metadata = self.metadata(true).await?;
                let client = self.client_of(&metadata, redirect)?;
                let verifier = client.id_token_verifier().set_time_fn(move || now);
                token.claims(&verifier, &nonce).map_err(not_believed)?
            }
        };
        let client = self.client_of(&metadata, redirect)?;
        if let Some(expected) = claims.access_token_hash() {
            let verifier = client.id_token_verifier();
            let (algorithm, key) = (token.signing_alg().map_err(not_believed)?, token.signing_key(&verifier));
            let found = AccessTokenHash::from_token(answer.access_token(), algorithm, key.map_err(not_believed)?);
            if found.map_err(not_believed)? != *expected {
                return Err(not_believed_words("its access token is not the one that was signed"));
            }
        }
        let mut identity = Identity {
            issuer: self.provider.issuer.clone(),
            subject: claims.subject().as_str().to_owned(),
            email: claims.email().map(|email| email.as_str().to_owned()),
            is_email_verified: claims.email_verified() == Some(true),
            name: claims.name().and_then(|name| name.get(None)).map(|name| name.as_str().to_owned()),
        };
        // Many keep the token small, and say the address when they are asked.
        if identity.email.is_none() && client.user_info_url().is_some() {
            let asked = client.user_info(answer.access_token().clone(), Some(claims.subject().clone()));
            let said: CoreUserInfoClaims =
                asked.map_err(away)?.request_async(&self.http).await.map_err(not_believed)?;
            identity.email = said.email().map(|email| email.as_str().to_owned());
            identity.is_email_verified = said.email_verified() == Some(true);
            let name = said.name().and_then(|name| name.get(None)).map(|name| name.as_str().to_owned());
            identity.name = identity.name.or(name);
        }
        Ok(identity)
    }

    fn client_of(&self, metadata: &CoreProviderMetadata, redirect: &str) -> Result<Asked, ExchangeError> {
        let secret = self.provider.secret.as_ref().map(|secret| ClientSecret::new(secret.0.clone()));
        let id = ClientId::new(self.provider.client_id.clone());
        let redirect = RedirectUrl::new(redirect.to_owned()).map_err(away)?;
        Ok(CoreClient::from_provider_metadata(metadata.clone(), id, secret).set_redirect_uri(redirect))
    }

    async fn metadata(&self, anew: bool) -> Result<Arc<CoreProviderMetadata>, ExchangeError> {
        if let Some((read_at, metadata)) = &*self.known.lock()
            && !anew
            && read_at.elapsed() < FRESH_FOR
        {
            return Ok(metadata.clone());
        }
        let issuer = IssuerUrl::new(self.provider.issuer.clone()).map_err(away)?;
        let found = Arc::new(CoreProviderMetadata::discover_async(issuer, &self.http).await.map_err(away)?);
        *self.known.lock() = Some((Instant::now(), found.clone()));
        Ok(found)
    }
}

/// Puts the requests of `openidconnect`, with the client of this server.
struct Http(reqwest::Client);

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = Unanswered;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Unanswered>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let request = reqwest::Request::try_from(request).map_err(Unanswered::of)?;
            let mut answer = self.0.execute(request).await.map_err(Unanswered::of)?;
            let mut response = axum::http::Response::builder().status(answer.status());
            for (name, value) in answer.headers() {
                response = response.header(name, value);
            }
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await.map_err(Unanswered::of)? {
                if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                    return Err(Unanswered("the answer is too long".to_owned()));
                }
                body.extend_from_slice(&chunk);
            }
            response.body(body).map_err(|error| Unanswered(error.to_string()))
        })
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unanswered(String);

impl Unanswered {
    fn of(error: reqwest::Error) -> Self {
        Self(lake::whole_text(&error.without_url()))
    }
}

fn away(error: impl std::error::Error + 'static) -> ExchangeError {
    ExchangeError::Away(lake::whole_text(&error))
}

fn not_believed(error: impl std::error::Error + 'static) -> ExchangeError {
    ExchangeError::NotBelieved(lake::whole_text(&error))
}

fn not_believed_words(words: &str) -> ExchangeError {
    ExchangeError::NotBelieved(words.to_owned())
}
