//! Decompression of request bodies, bounded.

use std::io::Read;

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use intake::IngestError;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Plain,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The largest zstd window: 8 MiB, which its specification asks decoders to support. A larger one would let a body
/// choose how much memory decoding takes.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

const BROTLI_BUFFER_BYTES: usize = 4_096;

impl Encoding {
    /// How `body` is compressed.
    ///
    /// Gzip and zstd are recognised by their first bytes, whatever the headers say: some SDKs send gzip with no label
    /// or a wrong one, and no JSON begins with these bytes. Deflate and Brotli have no such mark, so their label is
    /// believed. A body that is labelled gzip and is not may have been decompressed by a proxy.
    pub(crate) fn detect(body: &[u8], content_encoding: Option<&str>) -> Self {
        if body.starts_with(GZIP_MAGIC) {
            return Self::Gzip;
        }
        if body.starts_with(ZSTD_MAGIC) {
            return Self::Zstd;
        }
        match content_encoding.map(|label| label.trim().to_ascii_lowercase()).as_deref() {
            Some("deflate") => Self::Deflate,
            Some("br") => Self::Brotli,
            _ => Self::Plain,
        }
    }

    /// Decompresses `body`. In the worst case this takes a thousand times as long as the size of the body suggests.
    ///
    /// Stops at `bytes_max`, so that a small body cannot fill the memory.
    pub(crate) fn inflate(self, body: Bytes, bytes_max: usize) -> Result<Bytes, IngestError> {
        match self {
            Self::Plain if body.len() > bytes_max => Err(too_large(bytes_max)),
            Self::Plain => Ok(body),
            Self::Gzip => read("gzip", MultiGzDecoder::new(&body[..]), bytes_max),
            Self::Deflate if is_zlib(&body) => read("deflate", ZlibDecoder::new(&body[..]), bytes_max),
            Self::Deflate => read("deflate", DeflateDecoder::new(&body[..]), bytes_max),
            Self::Brotli => read("br", brotli::Decompressor::new(&body[..], BROTLI_BUFFER_BYTES), bytes_max),
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(&body[..]).map_err(|error| damaged("zstd", error))?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|error| damaged("zstd", error))?;
                read("zstd", decoder, bytes_max)
            }
        }
    }
}

/// The label "deflate" means zlib, but some senders use it for raw deflate.
fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [first, second, ..] if first & 0x0f == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0)
}

fn read(name: &str, decoder: impl Read, bytes_max: usize) -> Result<Bytes, IngestError> {
    let mut inflated = Vec::new();
    decoder.take(bytes_max as u64 + 1).read_to_end(&mut inflated).map_err(|error| damaged(name, error))?;
    if inflated.len() > bytes_max {
        return Err(too_large(bytes_max));
    }
    Ok(inflated.into())
}

fn damaged(name: &str, error: std::io::Error) -> IngestError {
    IngestError::invalid(format!("the body is not valid {name}: {error}"))
}

fn too_large(bytes_max: usize) -> IngestError {
    IngestError::too_large(format!("the body is larger than {bytes_max} bytes decompressed; send it in pieces"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const TEXT: &[u8] = br#"{"name":"page_view"}"#;

    #[test]
    fn gzip_and_zstd_are_known_by_their_first_bytes() {
        for label in [None, Some("identity"), Some("br"), Some("gzip"), Some("utf-8")] {
            check(gzip(TEXT), label, Ok(TEXT));
            check(zstd::encode_all(TEXT, 1).unwrap(), label, Ok(TEXT));
        }
    }

    #[test]
    fn other_encodings_are_known_by_their_label() {
        check(brotli(TEXT), Some("br"), Ok(TEXT));
        check(zlib(TEXT), Some("deflate"), Ok(TEXT));
        check(deflate(TEXT), Some("Deflate"), Ok(TEXT));
        check(TEXT.to_vec(), None, Ok(TEXT));
    }

    #[test]
    fn plain_text_labelled_gzip_is_plain_text() {
        check(TEXT.to_vec(), Some("gzip"), Ok(TEXT));
    }

    #[test]
    fn a_file_of_two_gzip_members_is_one_text() {
        check([gzip(b"[1,"), gzip(b"2]")].concat(), None, Ok(b"[1,2]"));
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let zeros = vec![b'0'; 10_000_000];
        for (body, label) in [
            (gzip(&zeros), None),
            (zlib(&zeros), Some("deflate")),
            (brotli(&zeros), Some("br")),
            (zstd::encode_all(&zeros[..], 1).unwrap(), None),
        ] {
            assert!(body.len() < 100_000);
            check(body, label, Err("the body is larger than 1000000 bytes decompressed"));
        }
    }

    #[test]
    fn damaged_bodies_are_refused() {
        let cut = |body: Vec<u8>| body[..body.len() - 5].to_vec();
        check(cut(gzip(TEXT)), None, Err("the body is not valid gzip"));
        check(cut(zlib(TEXT)), Some("deflate"), Err("the body is not valid deflate"));
        check(cut(brotli(TEXT)), Some("br"), Err("the body is not valid br"));
        check(cut(zstd::encode_all(TEXT, 1).unwrap()), None, Err("the body is not valid zstd"));
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(vec![], Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(vec![], Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(text: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(vec![], Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn brotli(text: &[u8]) -> Vec<u8> {
        let mut body = vec![];
        brotli::CompressorWriter::new(&mut body, 4_096, 5, 22).write_all(text).unwrap();
        body
    }

    /// Inflates with a limit of a million bytes; compares with the text or how the refusal begins.
    #[track_caller]
    fn check(body: Vec<u8>, label: Option<&str>, expected: Result<&[u8], &str>) {
        let actual = Encoding::detect(&body, label).inflate(body.into(), 1_000_000);
        match (&actual, expected) {
            (Ok(text), Ok(expected)) => assert_eq!(text, expected),
            (Err(error), Err(expected)) if error.to_string().starts_with(expected) => {}
            _ => panic!("{label:?}: {actual:?}"),
        }
    }
}
