//! An S3 API in this process, on top of a directory.

use std::path::Path;
use std::sync::Arc;

use axum::http::Request;
use axum::http::header::IF_NONE_MATCH;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::bucket_policy::Policies;

/// The secret key of every user.
const SECRET: &str = "secret";

/// Starts the server with a bucket named `bucket`. Returns the environment variables that direct `s3://bucket/…` to it.
pub async fn start(dir: &Path) -> Vec<(String, String)> {
    let mut service = bucket_in(dir);
    service.set_auth(SimpleAuth::from_single("key", SECRET));
    variables(&serve(service.build()).await, "key")
}

/// The same with several users, each restricted by a policy. The returned function gives a user's environment variables.
pub async fn start_with_policies(dir: &Path, policies: Policies) -> impl Fn(&str) -> Vec<(String, String)> {
    let mut service = bucket_in(dir);
    let mut users = SimpleAuth::new();
    for user in policies.users() {
        users.register(user.to_owned(), SECRET.into());
    }
    service.set_auth(users);
    service.set_access(policies);
    let endpoint = serve(service.build()).await;
    move |user| variables(&endpoint, user)
}

fn bucket_in(dir: &Path) -> S3ServiceBuilder {
    std::fs::create_dir(dir.join("bucket")).unwrap();
    S3ServiceBuilder::new(FileSystem::new(dir).unwrap())
}

/// Serves on a free port. Returns the URL.
async fn serve(service: S3Service) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    // The file system behind it looks whether an object is there, and then writes it. A store must do both at once.
    let conditional_puts = Arc::new(Mutex::new(()));
    tokio::spawn(async move {
        let server = Builder::new(TokioExecutor::new());
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let (service, conditional_puts) = (service.clone(), conditional_puts.clone());
            let answer = service_fn(move |request: Request<Incoming>| {
                let (service, conditional_puts) = (service.clone(), conditional_puts.clone());
                async move {
                    let _alone = match request.headers().contains_key(IF_NONE_MATCH) {
                        true => Some(conditional_puts.lock().await),
                        false => None,
                    };
                    service.call(request.map(Into::into)).await
                }
            });
            let connection = server.serve_connection(TokioIo::new(socket), answer).into_owned();
            tokio::spawn(async move {
                // A client that is killed breaks its connections.
                let _ = connection.await;
            });
        }
    });
    endpoint
}

fn variables(endpoint: &str, user: &str) -> Vec<(String, String)> {
    [
        ("AWS_ACCESS_KEY_ID", user),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT", endpoint),
        ("AWS_ALLOW_HTTP", "true"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}
