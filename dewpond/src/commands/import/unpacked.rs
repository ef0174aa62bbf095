//! The files within a file of an import: compressed ones as they were before, and each file of a zip. What a file is says its
//! content and not its name, but for Brotli, which has no mark.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Context as _, bail};
use flate2::read::{DeflateDecoder, MultiGzDecoder};
use intake::history::FileKind;
use rawzip::{CompressionMethod, RECOMMENDED_BUFFER_SIZE, ZipArchive};

use super::places::{Content, Place};

/// How many zips, or compressed files, may lie in one another.
const NESTED_MAX: usize = 4;

/// How much of a file is looked at to find out what it is.
const START_BYTES: usize = 256 << 10;

/// A file as it was before it was packed.
pub(super) struct Unpacked {
    /// How messages call it.
    pub(super) name: String,
    /// Its first bytes.
    pub(super) start: Vec<u8>,
    pub(super) content: Content,
}

impl Unpacked {
    /// What it is, by its first bytes; none if it is empty.
    pub(super) fn kind(&self) -> Option<FileKind> {
        if self.start.starts_with(b"PAR1") {
            return Some(FileKind::Parquet);
        }
        if self.start.starts_with(b"Obj\x01") {
            return Some(FileKind::Avro);
        }
        if has_ending(&self.name, &["parquet"]) {
            // It is none, and whoever reads it says so.
            return Some(FileKind::Parquet);
        }
        let text = self.start.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&self.start).trim_ascii_start();
        Some(match text.first()? {
            b'{' | b'[' => FileKind::Json,
            _ if has_ending(&self.name, &["ndjson", "jsonl", "json"]) => FileKind::Json,
            _ => FileKind::Text,
        })
    }
}

/// Whether a name ends as one of these, below the ending of what it is packed with.
pub(super) fn has_ending(name: &str, endings: &[&str]) -> bool {
    let name = name.to_ascii_lowercase();
    let name = [".gz", ".zst", ".br"].iter().find_map(|packed| name.strip_suffix(packed)).unwrap_or(&name);
    name.rsplit_once('.').is_some_and(|(_, ending)| endings.contains(&ending))
}

/// Opens a place and hands over each file in it.
pub(super) fn each(
    place: &Place,
    runtime: &tokio::runtime::Handle,
    read_bytes: &Arc<AtomicU64>,
    mut then: impl FnMut(Unpacked) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let content = place.open(runtime, read_bytes)?;
    unpack(&place.name, content, read_bytes, 0, &mut then)
}

fn unpack(
    name: &str,
    content: Content,
    read_bytes: &Arc<AtomicU64>,
    depth: usize,
    then: &mut dyn FnMut(Unpacked) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (start, content) = content.peek(START_BYTES).with_context(|| format!("could not read {name}"))?;
    let packed: Option<Box<dyn Read + Send>> = match &*start {
        [0x1f, 0x8b, ..] => Some(Box::new(MultiGzDecoder::new(BufReader::new(content.into_reader(read_bytes))))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            Some(Box::new(zstd::Decoder::new(content.into_reader(read_bytes)).context("zstd")?))
        }
        [b'P', b'K', 3, 4, ..] => return unzip(name, content.into_file()?, read_bytes, depth, then),
        _ if name.to_ascii_lowercase().ends_with(".br") && depth == 0 => {
            Some(Box::new(brotli::Decompressor::new(content.into_reader(read_bytes), 64 << 10)))
        }
        _ => {
            if matches!(*start, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
                bail!("{name} is UTF-16; save it as UTF-8, or in PowerShell write it with `-Encoding utf8`");
            }
            return then(Unpacked { name: name.to_owned(), start, content });
        }
    };
    if depth == NESTED_MAX {
        bail!("{name} is packed more than {NESTED_MAX} times");
    }
    let stream = packed.expect("what is not packed was handed over");
    unpack(name, Content::Stream(stream), read_bytes, depth + 1, then)
}

/// Hands over the files of a zip, which are read from where they lie in it.
fn unzip(
    name: &str,
    zip: File,
    read_bytes: &Arc<AtomicU64>,
    depth: usize,
    then: &mut dyn FnMut(Unpacked) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if depth == NESTED_MAX {
        bail!("{name} is packed more than {NESTED_MAX} times");
    }
    let damaged = || format!("{name} is no whole zip: it was cut off or is damaged");
    let mut entries = Vec::new();
    {
        let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
        let archive = ZipArchive::from_file(zip.try_clone()?, &mut buffer).with_context(damaged)?;
        let mut found = archive.entries(&mut buffer);
        while let Some(entry) = found.next_entry().with_context(damaged)? {
            let path = String::from_utf8_lossy(entry.file_path().as_ref()).into_owned();
            if entry.is_dir() || path.starts_with("__MACOSX/") {
                continue;
            }
            if entry.flags().is_encrypted() {
                bail!("{name}/{path} is encrypted; unpack it first");
            }
            entries.push((path, entry.compression_method(), entry.crc32(), entry.wayfinder()));
        }
        let mut places = Vec::new();
        for (path, method, crc, wayfinder) in entries {
            let range = archive.get_entry(wayfinder).with_context(damaged)?.compressed_data_range();
            places.push((path, method, crc, range));
        }
        drop(archive);
        places.sort_by(|a, b| a.0.cmp(&b.0));
        for (path, method, crc, (from, until)) in places {
            let mut file = zip.try_clone()?;
            file.seek(SeekFrom::Start(from))?;
            let counted = Content::File(file).into_reader(read_bytes).take(until - from);
            let reader: Box<dyn Read + Send> = match method {
                CompressionMethod::STORE => Box::new(counted),
                CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(BufReader::new(counted))),
                CompressionMethod::ZSTD => Box::new(zstd::Decoder::new(counted)?),
                _ => bail!("{name}/{path} is compressed in a way that is not supported; unpack it first"),
            };
            let whole = Checked { inner: reader, crc: flate2::Crc::new(), expected: crc };
            unpack(&format!("{name}/{path}"), Content::Stream(Box::new(whole)), read_bytes, depth + 1, then)?;
        }
    }
    Ok(())
}

/// Fails at the end of a file of a zip if it is not what was packed.
struct Checked {
    inner: Box<dyn Read + Send>,
    crc: flate2::Crc,
    expected: u32,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.crc.update(&buffer[..read]);
        if read == 0 && !buffer.is_empty() && self.crc.sum() != self.expected {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "its checksum is wrong"));
        }
        Ok(read)
    }
}
