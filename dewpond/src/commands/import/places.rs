//! Where the files of an import lie: on this machine, in an object store, or on standard input.

use std::fs::File;
use std::io::{Cursor, Read, Seek};
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;
use url::Url;

/// How messages call standard input.
pub(super) const STDIN: &str = "standard input";

/// A file of an import.
#[derive(Clone)]
pub(super) struct Place {
    /// How messages call it.
    pub(super) name: String,
    /// 0 if nobody knows.
    pub(super) size_bytes: u64,
    /// What changes when the file does; none of standard input.
    pub(super) version: Option<String>,
    at: At,
}

#[derive(Clone)]
enum At {
    Disk(PathBuf),
    Store(Arc<dyn ObjectStore>, Path),
    /// Standard input, on disk, so that it can be looked at before it is read.
    Spooled(Arc<File>),
}

/// What a place holds, as it is read.
pub(super) enum Content {
    /// A file that can be read from any place on.
    File(File),
    /// What can be read once.
    Stream(Box<dyn Read + Send>),
}

impl Place {
    /// The files that an argument names: a path, `-` for standard input, or the URL of an object or of all objects below it.
    pub(super) async fn all(argument: &str) -> anyhow::Result<Vec<Self>> {
        if argument == "-" {
            let spool = || {
                let mut file = tempfile::tempfile()?;
                let size_bytes = std::io::copy(&mut std::io::stdin().lock(), &mut file)?;
                Ok::<_, std::io::Error>((file, size_bytes))
            };
            let spooled = tokio::task::spawn_blocking(spool).await?;
            let (file, size_bytes) = spooled.context("could not keep standard input in a temporary file")?;
            let at = At::Spooled(Arc::new(file));
            return Ok(vec![Self { name: STDIN.into(), size_bytes, version: None, at }]);
        }
        if argument.contains("://") && !argument.starts_with("file://") {
            return of_store(argument).await;
        }
        let path = match argument.strip_prefix("file://") {
            Some(_) => Url::parse(argument)
                .ok()
                .and_then(|url| url.to_file_path().ok())
                .with_context(|| format!("{argument} is not a path of this machine"))?,
            None => PathBuf::from(argument),
        };
        of_disk(&path)
    }

    /// Opens it. What is read counts in `read_bytes`.
    ///
    /// Call this off the async threads.
    pub(super) fn open(&self, runtime: &Handle, read_bytes: &Arc<AtomicU64>) -> anyhow::Result<Content> {
        let content = match &self.at {
            At::Disk(path) => Content::File(File::open(path).with_context(|| format!("could not read {}", self.name))?),
            At::Spooled(file) => {
                let mut file = file.try_clone()?;
                file.rewind()?;
                Content::File(file)
            }
            At::Store(store, path) => {
                let opened = runtime.block_on(store.get(path));
                let opened = opened.with_context(|| format!("could not read {}", self.name))?;
                let parts = opened.into_stream();
                Content::Stream(Box::new(Download { parts, part: Bytes::new(), runtime: runtime.clone() }))
            }
        };
        Ok(match content {
            Content::Stream(stream) => {
                Content::Stream(Box::new(Counted { inner: stream, read_bytes: read_bytes.clone() }))
            }
            file => file,
        })
    }
}

fn of_disk(path: &FsPath) -> anyhow::Result<Vec<Place>> {
    let name = path.display().to_string();
    let found = std::fs::metadata(path).with_context(|| format!("could not read {name}"))?;
    if found.is_dir() {
        let mut entries = std::fs::read_dir(path)
            .with_context(|| format!("could not read {name}"))?
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<Vec<_>>>()?;
        entries.sort();
        let mut places = Vec::new();
        for entry in entries {
            places.extend(of_disk(&entry)?);
        }
        return Ok(places);
    }
    let modified = found.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let version = format!("{} {}", found.len(), modified.map_or(0, |age| age.as_micros()));
    Ok(vec![Place { name, size_bytes: found.len(), version: Some(version), at: At::Disk(path.to_owned()) }])
}

async fn of_store(argument: &str) -> anyhow::Result<Vec<Place>> {
    let url = Url::parse(argument).with_context(|| format!("{argument} is no URL"))?;
    let (store, path) = lake::open_store(argument, std::env::vars())
        .context("cannot read from there; use a path, or s3://, gs:// or az://")?;
    let bucket = &url[..url::Position::BeforePath];
    let place = |object: object_store::ObjectMeta| Place {
        name: format!("{bucket}/{}", object.location),
        size_bytes: object.size,
        version: Some(format!("{} {}", object.size, object.e_tag.unwrap_or_default())),
        at: At::Store(store.clone(), object.location),
    };
    if !argument.ends_with('/')
        && let Ok(object) = store.head(&path).await
    {
        return Ok(vec![place(object)]);
    }
    let mut objects: Vec<_> =
        store.list(Some(&path)).try_collect().await.with_context(|| format!("could not list {argument}"))?;
    objects.retain(|object: &object_store::ObjectMeta| object.size > 0);
    if objects.is_empty() {
        bail!("there is nothing at {argument}");
    }
    objects.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(objects.into_iter().map(place).collect())
}

impl Content {
    /// A file of the same content, on disk if it was none: some formats are read from their end.
    pub(super) fn into_file(self) -> anyhow::Result<File> {
        match self {
            Self::File(mut file) => {
                file.rewind()?;
                Ok(file)
            }
            Self::Stream(mut stream) => {
                let mut file = tempfile::tempfile().context("could not make a temporary file")?;
                std::io::copy(&mut stream, &mut file)?;
                file.rewind()?;
                Ok(file)
            }
        }
    }

    /// The first bytes, and the content as before.
    pub(super) fn peek(self, bytes_max: usize) -> std::io::Result<(Vec<u8>, Self)> {
        let mut start = Vec::new();
        match self {
            Self::File(mut file) => {
                let at = file.stream_position()?;
                file.by_ref().take(bytes_max as u64).read_to_end(&mut start)?;
                file.seek(std::io::SeekFrom::Start(at))?;
                Ok((start, Self::File(file)))
            }
            Self::Stream(mut stream) => {
                stream.by_ref().take(bytes_max as u64).read_to_end(&mut start)?;
                let whole = Cursor::new(start.clone()).chain(stream);
                Ok((start, Self::Stream(Box::new(whole))))
            }
        }
    }

    /// A reader of the content. What is read counts in `read_bytes`.
    pub(super) fn into_reader(self, read_bytes: &Arc<AtomicU64>) -> Box<dyn Read + Send> {
        match self {
            Self::File(file) => Box::new(Counted { inner: Box::new(file), read_bytes: read_bytes.clone() }),
            Self::Stream(stream) => stream,
        }
    }
}

/// An object, part by part as the store sends it.
struct Download {
    parts: BoxStream<'static, object_store::Result<Bytes>>,
    part: Bytes,
    runtime: Handle,
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.part.is_empty() {
            match self.runtime.block_on(self.parts.next()) {
                Some(part) => self.part = part.map_err(std::io::Error::other)?,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.part.len());
        buffer[..count].copy_from_slice(&self.part.split_to(count));
        Ok(count)
    }
}

struct Counted {
    inner: Box<dyn Read + Send>,
    read_bytes: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read_bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
