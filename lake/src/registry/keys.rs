//! What write keys and read keys have in common: 160 random bits behind a beginning that says which kind they are. The
//! registry keeps their hash, and their first characters, by which people tell them apart.

use uuid::Uuid;

use crate::lake::Lake;

const DIGITS: usize = 40;

/// Characters of a key by which it can be named: its beginning and eight digits more.
const PREFIX_CHARS: usize = 12;

/// A new key.
pub(super) fn new(lake: &Lake, beginning: &str) -> String {
    let bits = [lake.new_uuid(), lake.new_uuid()].map(Uuid::into_bytes).concat();
    format!("{beginning}{}", &blake3::hash(&bits).to_hex()[..DIGITS])
}

/// Whether a text can be a key of this kind: one of ours begins like one and has the length of one.
pub(super) fn is_key(text: &str, beginning: &str) -> bool {
    let digits = text.strip_prefix(beginning);
    digits.is_some_and(|digits| digits.len() == DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// The characters by which people name a key of ours.
pub(super) fn prefix(key: &str) -> &str {
    &key[..PREFIX_CHARS]
}

/// BLAKE3 of a key, in hexadecimal. Keys are random, so a plain hash cannot be guessed back.
pub(super) fn hash(key: &str) -> String {
    blake3::hash(key.as_bytes()).to_hex().to_string()
}

/// Whether somebody who writes `named`, a whole key or its prefix, means the key with this prefix and hash.
pub(super) fn is_meant(named: &str, prefix: &str, hash: &str) -> bool {
    hash == self::hash(named) || (named.len() >= PREFIX_CHARS && prefix == named)
}
