//! Object stores that others wrote, as processes of their own: SeaweedFS with its S3 API, and Azurite with Azure's.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::{AzureAccessKey, AzureAuthorizer, AzureCredential};
use object_store::client::HttpRequest;
use object_store::signer::Signer;
use reqwest::StatusCode;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::clients::client;

/// How long a store may take to start, on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The account of Azurite, and its key, which are the same everywhere.
const AZURITE_ACCOUNT: &str = "devstoreaccount1";
const AZURITE_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A running store with an empty place for a lake. Ended when it is dropped.
pub struct Store {
    /// Where the lake lies.
    pub lake: &'static str,
    /// The environment variables that lead there.
    pub env: Vec<(String, String)>,
    _process: Child,
}

/// SeaweedFS on `dir`; `None`, with a word, where it is not installed.
pub async fn seaweedfs(dir: &Path) -> Option<Store> {
    let weed = std::env::var("DEWPOND_TEST_PYTHON").ok().map(|python| Path::new(&python).with_file_name("weed"));
    let weed = installed("SeaweedFS", weed.unwrap_or_default())?;
    let identities = dir.join("s3.json");
    std::fs::write(
        &identities,
        r#"{"identities": [{"name": "test", "credentials": [{"accessKey": "key", "secretKey": "secret"}], "actions": ["Admin"]}]}"#,
    )
    .unwrap();
    let data = dir.join("data");
    std::fs::create_dir(&data).unwrap();
    // Held together, so that they are different ones.
    let listeners: Vec<TcpListener> = (0..8).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<u16> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
    drop(listeners);
    let mut command = Command::new(weed);
    command.args(["-logtostderr", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]);
    for (name, port) in ["master", "volume", "filer", "s3"].into_iter().zip(ports.chunks(2)) {
        command.arg(format!("-{name}.port={}", port[0])).arg(format!("-{name}.port.grpc={}", port[1]));
    }
    command.args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", "-master.telemetry=false"]);
    // A volume of the default size of 30 GB is refused on a small disk.
    command.args(["-master.volumeSizeLimitMB=64", "-volume.max=20"]);
    command.arg(format!("-dir={}", data.display())).arg(format!("-s3.config={}", identities.display()));
    command.current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null());
    let process = command.kill_on_drop(true).spawn().unwrap();

    let endpoint = format!("http://127.0.0.1:{}", ports[6]);
    let env = [
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT", &endpoint),
        ("AWS_ALLOW_HTTP", "true"),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let bucket = AmazonS3Builder::new()
        .with_access_key_id("key")
        .with_secret_access_key("secret")
        .with_region("us-east-1")
        .with_endpoint(&endpoint)
        .with_bucket_name("bucket")
        .with_allow_http(true)
        .build()
        .unwrap();
    let url = bucket.signed_url(reqwest::Method::PUT, &"".into(), Duration::from_secs(600)).await.unwrap();
    made("SeaweedFS", || client().put(url.clone())).await;
    Some(Store { lake: "s3://bucket/lake", env, _process: process })
}

/// Azurite in memory; `None`, with a word, where it is not installed.
pub async fn azurite() -> Option<Store> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores/node_modules/azurite");
    let program = installed("Azurite", package.join("dist/src/blob/main.js"))?;
    let mut process = Command::new("node")
        .arg(program)
        .args(["--inMemoryPersistence", "--blobPort", "0", "--silent", "--disableTelemetry", "--skipApiVersionCheck"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let address = timeout(START_TIMEOUT, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, address)) = line.split_once("successfully listens on ") {
                return address.trim().to_owned();
            }
        }
        panic!("Azurite ended before it listened")
    });
    let address = address.await.expect("Azurite listens within a minute");
    // Keep reading: a full pipe would stop the writer.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });

    let endpoint = format!("{address}/{AZURITE_ACCOUNT}");
    let credential = AzureCredential::AccessKey(AzureAccessKey::try_new(AZURITE_KEY).unwrap());
    made("Azurite", || {
        let uri = format!("{endpoint}/container?restype=container");
        let mut request = HttpRequest::new(String::new().into());
        *request.method_mut() = reqwest::Method::PUT;
        *request.uri_mut() = uri.parse().unwrap();
        request.headers_mut().insert("content-length", "0".parse().unwrap());
        AzureAuthorizer::new(&credential, AZURITE_ACCOUNT).authorize(&mut request);
        client().put(uri).headers(request.headers().clone())
    })
    .await;
    let env = [
        ("AZURE_STORAGE_ACCOUNT_NAME", AZURITE_ACCOUNT),
        ("AZURE_STORAGE_ACCOUNT_KEY", AZURITE_KEY),
        ("AZURE_STORAGE_ENDPOINT", &endpoint),
        ("AZURE_ALLOW_HTTP", "true"),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Some(Store { lake: "az://container/lake", env, _process: process })
}

/// The program, if it is installed.
fn installed(name: &str, program: PathBuf) -> Option<PathBuf> {
    if program.exists() {
        return Some(program);
    }
    println!("skipped: {name} is not installed; `make test` installs it where it can be had");
    None
}

/// Sends a request that makes a bucket, until the store has started and answers that there is one.
async fn made(name: &str, request: impl Fn() -> reqwest::RequestBuilder) {
    let mut told = String::new();
    let making = timeout(START_TIMEOUT, async {
        loop {
            // A store that has begun to listen and no more may never answer.
            told = match request().timeout(Duration::from_secs(2)).send().await {
                Ok(response) if response.status().is_success() || response.status() == StatusCode::CONFLICT => return,
                Ok(response) => format!("{}: {}", response.status(), response.text().await.unwrap_or_default()),
                Err(error) => error.without_url().to_string(),
            };
            sleep(Duration::from_millis(100)).await;
        }
    });
    let is_made = making.await.is_ok();
    assert!(is_made, "{name} has made no bucket within a minute: {told}");
}
