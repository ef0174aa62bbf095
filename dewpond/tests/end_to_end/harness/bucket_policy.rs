//! Access policies for the users of a bucket, in the part of AWS's policy language that `deploy/aws/` uses: statements that
//! allow, and conditions on the prefix of a listing.
//!
//! For a missing object, S3 answers 403 instead of 404 to users who may not list the bucket. It is not documented whether the
//! right to list some prefixes is enough for a 404. Here it is not, which is the harder case.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html>

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use reqwest::Url;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::Credentials;
use s3s::dto::DeleteObjectsInput;
use s3s::path::S3Path;
use s3s::{S3Request, S3Result, s3_error};
use serde_json::Value as Json;

/// What each user may do.
pub struct Policies {
    /// The directory that is the store.
    dir: PathBuf,
    statements: HashMap<String, Vec<Statement>>,
}

struct Statement {
    actions: Vec<String>,
    resources: Vec<String>,
    /// Conditions on the prefix of listings.
    prefixes: Option<Vec<String>>,
}

impl Policies {
    /// Policies from pairs of user and JSON, for the store in `dir`.
    pub fn of(dir: &Path, policies: &[(&str, String)]) -> Self {
        let statements = policies.iter().map(|(user, json)| ((*user).to_owned(), statements_of(json))).collect();
        Self { dir: dir.to_owned(), statements }
    }

    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.statements.keys().map(String::as_str)
    }

    /// Whether a user may do something.
    ///
    /// - `resource`: the bucket, or an object as `bucket/key`.
    /// - `prefix`: the prefix of a listing.
    pub fn allow(&self, user: &str, action: &str, resource: &str, prefix: Option<&str>) -> bool {
        let statements = self.statements.get(user).map(Vec::as_slice);
        statements.unwrap_or_default().iter().any(|statement| {
            let within = match &statement.prefixes {
                Some(patterns) => prefix.is_some_and(|prefix| fits(patterns, prefix)),
                None => true,
            };
            within
                && fits(&statement.actions, action)
                && fits(&statement.resources, &format!("arn:aws:s3:::{resource}"))
        })
    }
}

fn statements_of(json: &str) -> Vec<Statement> {
    let policy: Json = serde_json::from_str(json).unwrap();
    let of = |statement: &Json| {
        assert_eq!(statement["Effect"], "Allow");
        let prefixes = statement.get("Condition").map(|condition| texts(&condition["StringLike"]["s3:prefix"]));
        Statement { actions: texts(&statement["Action"]), resources: texts(&statement["Resource"]), prefixes }
    };
    policy["Statement"].as_array().unwrap().iter().map(of).collect()
}

/// Policies that allow nothing.
fn name_of(credentials: Option<&Credentials>) -> &str {
    credentials.map_or("", |credentials| &credentials.access_key)
}

/// One text, or many.
fn texts(json: &Json) -> Vec<String> {
    match json {
        Json::String(text) => vec![text.clone()],
        many => serde_json::from_value(many.clone()).unwrap(),
    }
}

fn fits(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => text == pattern,
    })
}

#[async_trait]
impl S3Access for Policies {
    async fn check(&self, request: &mut S3AccessContext<'_>) -> S3Result<()> {
        let operation = request.s3_op().name();
        let user = name_of(request.credentials());
        let allowed = match (operation, request.s3_path()) {
            ("ListObjectsV2", S3Path::Bucket { bucket }) => {
                let url = Url::parse("http://localhost").unwrap().join(&request.uri().to_string()).unwrap();
                let prefix = url.query_pairs().find(|(name, _)| name == "prefix").map(|(_, prefix)| prefix);
                self.allow(user, "s3:ListBucket", bucket, Some(prefix.as_deref().unwrap_or_default()))
            }
            ("GetObject" | "HeadObject", S3Path::Object { bucket, key }) => {
                self.allow(user, "s3:GetObject", &format!("{bucket}/{key}"), None)
                    && (self.dir.join(&**bucket).join(&**key).exists()
                        || self.allow(user, "s3:ListBucket", bucket, None))
            }
            (
                "PutObject" | "CreateMultipartUpload" | "UploadPart" | "CompleteMultipartUpload",
                S3Path::Object { bucket, key },
            ) => self.allow(user, "s3:PutObject", &format!("{bucket}/{key}"), None),
            ("AbortMultipartUpload" | "DeleteObject", S3Path::Object { bucket, key }) => {
                self.allow(user, &format!("s3:{operation}"), &format!("{bucket}/{key}"), None)
            }
            // Checked key by key below.
            ("DeleteObjects", _) => true,
            _ => false,
        };
        match allowed {
            true => Ok(()),
            false => Err(s3_error!(AccessDenied)),
        }
    }

    async fn delete_objects(&self, request: &mut S3Request<DeleteObjectsInput>) -> S3Result<()> {
        let (user, bucket) = (name_of(request.credentials.as_ref()), &request.input.bucket);
        let mut keys = request.input.delete.objects.iter().map(|object| &object.key);
        match keys.all(|key| self.allow(user, "s3:DeleteObject", &format!("{bucket}/{key}"), None)) {
            true => Ok(()),
            false => Err(s3_error!(AccessDenied)),
        }
    }
}
