//! Names of what folds make: 128 bits of BLAKE3.

/// The hash of some texts, each with its length, so that no two lists of texts are the same bytes.
pub(super) fn hash_of<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for text in texts {
        let text = text.as_ref();
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    let mut hash = [0; 16];
    hash.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    hash
}
