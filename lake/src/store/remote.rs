//! A store in the cloud, as far as its settings tell: what is wrong with them, and what to set when it does not answer. Pure.

use object_store::{Error, ObjectStoreScheme};
use url::Url;

use crate::error::{LakeError, whole_text};

/// A store in the cloud and how it is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    cloud: &'static Cloud,
    /// The bucket or container.
    bucket: String,
    /// The variable that names the endpoint, and its value.
    endpoint: Option<(String, String)>,
    has_credentials: bool,
}

/// What a cloud's settings are called.
#[derive(Debug, PartialEq, Eq)]
struct Cloud {
    /// What it calls the place of objects.
    bucket: &'static str,
    /// The variables of the endpoint, the one that wins first.
    endpoints: &'static [&'static str],
    /// The variable that allows an endpoint without TLS.
    allow_http: &'static str,
    /// Variables any of which gives credentials, or says that none are needed.
    credentials: &'static [&'static str],
    /// What to set.
    login: &'static str,
}

static AWS: Cloud = Cloud {
    bucket: "bucket",
    endpoints: &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"],
    allow_http: "AWS_ALLOW_HTTP",
    credentials: &[
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_SKIP_SIGNATURE",
    ],
    login: "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
};

static AZURE: Cloud = Cloud {
    bucket: "container",
    endpoints: &["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"],
    allow_http: "AZURE_ALLOW_HTTP",
    credentials: &[
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_MASTER_KEY",
        "AZURE_STORAGE_SAS_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_STORAGE_TOKEN",
        "AZURE_STORAGE_CLIENT_ID",
        "AZURE_CLIENT_ID",
        "AZURE_FEDERATED_TOKEN_FILE",
        "AZURE_STORAGE_USE_EMULATOR",
        "AZURE_USE_AZURE_CLI",
        "AZURE_SKIP_SIGNATURE",
    ],
    login: "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
};

static GOOGLE: Cloud = Cloud {
    bucket: "bucket",
    endpoints: &["GOOGLE_BASE_URL"],
    allow_http: "GOOGLE_ALLOW_HTTP",
    credentials: &[
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_PATH",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_SKIP_SIGNATURE",
    ],
    login: "GOOGLE_APPLICATION_CREDENTIALS",
};

impl Remote {
    /// Reads the settings. The error says what to set.
    ///
    /// Returns `None` for a store that is in no cloud.
    pub(crate) fn read(
        scheme: &ObjectStoreScheme,
        url: &Url,
        environment: &[(String, String)],
    ) -> Result<Option<Self>, String> {
        let cloud = match scheme {
            ObjectStoreScheme::AmazonS3 => &AWS,
            ObjectStoreScheme::MicrosoftAzure => &AZURE,
            ObjectStoreScheme::GoogleCloudStorage => &GOOGLE,
            _ => return Ok(None),
        };
        let value = |name: &str| {
            let (_, value) = environment.iter().find(|(key, value)| key == name && !value.is_empty())?;
            Some(value.as_str())
        };
        let endpoint = cloud.endpoints.iter().find_map(|name| Some(((*name).to_owned(), value(name)?.to_owned())));
        if let Some((name, endpoint)) = &endpoint
            && endpoint.starts_with("http://")
            && !value(cloud.allow_http).is_some_and(is_true)
        {
            return Err(format!(
                "{name} is {endpoint}, which is not encrypted: set {}=true if that is meant, or write https://",
                cloud.allow_http
            ));
        }
        let has_credentials = cloud.credentials.iter().any(|name| value(name).is_some());
        Ok(Some(Self { cloud, bucket: url.host_str().unwrap_or_default().to_owned(), endpoint, has_credentials }))
    }

    /// What the store's answer to a first request means, and what to set.
    ///
    /// - `action`: what was being done, as in [`LakeError::Unavailable`].
    pub(crate) fn explain(&self, action: String, error: Error) -> LakeError {
        let Cloud { bucket: word, login, .. } = self.cloud;
        let at = self.endpoint.as_ref().map_or_else(String::new, |(_, endpoint)| format!(" at {endpoint}"));
        // Where a listing failed, only the code of the answer tells it.
        let no_bucket = matches!(error, Error::NotFound { .. })
            || ["NoSuchBucket", "ContainerNotFound"].contains(&code(&error).as_str());
        match error {
            _ if no_bucket => LakeError::NotFound {
                reason: format!(
                    "there is no {word} {:?}{at}: create it, or correct the address of the lake",
                    self.bucket
                ),
            },
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => LakeError::Unusable {
                reason: format!(
                    "the store{at} refuses to {action}: {}. Check {login}, and the rights that the role needs",
                    answer(&error)
                ),
            },
            error if !self.has_credentials => LakeError::unavailable(
                action,
                format!(
                    "no credentials are set: set {login}, or run where the cloud gives the machine a role ({})",
                    last_cause(&error)
                ),
            ),
            error => match &self.endpoint {
                Some((name, endpoint)) => LakeError::unavailable(
                    action,
                    format!("{}. Is {name}={endpoint} right, and is the store up?", answer(&error)),
                ),
                None => LakeError::unavailable(action, error),
            },
        }
    }
}

fn is_true(value: &str) -> bool {
    ["1", "true", "on", "yes", "y"].contains(&value.to_ascii_lowercase().as_str())
}

/// What a store answered, in a line: the code and message of its XML if there is one, else the last cause.
fn answer(error: &Error) -> String {
    match (code(error), tag(error, "Message")) {
        (code, _) if code.is_empty() => last_cause(error),
        (code, Some(message)) => format!("{code}: {}", message.trim_end_matches('.')),
        (code, None) => code,
    }
}

/// The code in a store's answer; nothing if there is none.
fn code(error: &Error) -> String {
    tag(error, "Code").unwrap_or_default()
}

/// A text in the XML of a store's answer, on one line.
fn tag(error: &Error, name: &str) -> Option<String> {
    let text = whole_text(error);
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The innermost cause: the others only say what was being done.
fn last_cause(error: &Error) -> String {
    let mut last: &(dyn std::error::Error + 'static) = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string().trim().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str, environment: &[(&str, &str)]) -> Result<Option<Remote>, String> {
        let url = Url::parse(url).unwrap();
        let (scheme, _) = ObjectStoreScheme::parse(&url).unwrap();
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Remote::read(&scheme, &url, &environment)
    }

    #[test]
    fn an_endpoint_without_tls_must_be_allowed() {
        for (url, endpoint, allow) in [
            ("s3://bucket/lake", "AWS_ENDPOINT", "AWS_ALLOW_HTTP"),
            ("s3://bucket/lake", "AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP"),
            ("s3://bucket/lake", "AWS_ENDPOINT_URL_S3", "AWS_ALLOW_HTTP"),
            ("az://container/lake", "AZURE_STORAGE_ENDPOINT", "AZURE_ALLOW_HTTP"),
        ] {
            let plain = (endpoint, "http://store:9000");
            let error = read(url, &[plain]).unwrap_err();
            assert!(error.contains(&format!("set {allow}=true")) && error.contains("http://store:9000"), "{error}");
            assert!(read(url, &[plain, (allow, "false")]).is_err());
            assert!(read(url, &[plain, (allow, "true")]).unwrap().is_some());
            assert!(read(url, &[(endpoint, "https://store")]).unwrap().is_some());
        }
        assert_eq!(read("memory:///", &[("AWS_ENDPOINT", "http://store")]), Ok(None));
    }

    #[test]
    fn the_first_error_says_what_to_set() {
        const LOCAL: &[(&str, &str)] =
            &[("AWS_ENDPOINT", "http://store:9000"), ("AWS_ALLOW_HTTP", "true"), ("AWS_ACCESS_KEY_ID", "key")];
        const XML: &str = "Client error with status 403 Forbidden: <?xml version=\"1.0\"?><Error><Code>InvalidAccessKeyId\
             </Code><Message>The key does not exist.</Message></Error>";
        let check = |environment: &[(&str, &str)],
                     error: fn(Box<dyn std::error::Error + Send + Sync>) -> Error,
                     source: &str,
                     words: &[&str]| {
            let remote = read("s3://bucket/lake", environment).unwrap().unwrap();
            let error = remote.explain("list s3://bucket/lake/".to_owned(), error(source.into()));
            let text = whole_text(&error);
            for word in words {
                assert!(text.contains(word), "{text}");
            }
            assert!(!text.contains('\n') && !text.contains('<'), "{text}");
        };
        let missing = |source| Error::NotFound { path: "lake".into(), source };
        let denied = |source| Error::PermissionDenied { path: "lake".into(), source };
        let failed = |source| Error::Generic { store: "S3", source };
        check(LOCAL, missing, "404", &["there is no bucket \"bucket\" at http://store:9000", "create it"]);
        const NO_BUCKET: &str = "<Error><Code>NoSuchBucket</Code><Message>The bucket does not exist</Message></Error>";
        check(LOCAL, failed, NO_BUCKET, &["there is no bucket \"bucket\" at http://store:9000", "create it"]);
        check(LOCAL, denied, XML, &["InvalidAccessKeyId: The key does not exist", "AWS_SECRET_ACCESS_KEY"]);
        check(LOCAL, failed, "connection refused", &["connection refused", "Is AWS_ENDPOINT=http://store:9000 right"]);
        check(&[], failed, "timed out", &["no credentials are set", "AWS_ACCESS_KEY_ID", "timed out"]);
        check(&[("AWS_ACCESS_KEY_ID", "key")], failed, "dns error", &["could not list s3://bucket/lake/", "dns error"]);
    }
}
