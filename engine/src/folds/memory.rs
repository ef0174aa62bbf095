//! Pieces kept in memory between runs, within a bound. The least recently used go first; each can be made again.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::piece::Piece;

/// Names what a piece was made of: a hash of its definition, files and bounds.
pub(super) type PieceKey = [u8; 16];

/// The pieces in memory.
#[derive(Debug)]
pub(crate) struct PieceMemory {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

/// Pieces made for one view alone, each once.
#[derive(Debug, Default)]
pub(crate) struct ViewPieces {
    pub(super) made: tokio::sync::Mutex<HashMap<PieceKey, Arc<Piece>>>,
    /// The rows of `identities`.
    pub(super) identities: tokio::sync::OnceCell<Arc<Piece>>,
}

#[derive(Debug, Default)]
struct Kept {
    pieces: HashMap<PieceKey, (Arc<Piece>, u64)>,
    bytes: usize,
    uses: u64,
}

impl PieceMemory {
    /// - `bytes_max`: what all pieces together may take.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, kept: Mutex::default() }
    }

    pub(super) fn get(&self, key: &PieceKey) -> Option<Arc<Piece>> {
        let mut kept = self.kept.lock();
        kept.uses += 1;
        let now = kept.uses;
        let (piece, used) = kept.pieces.get_mut(key)?;
        *used = now;
        Some(piece.clone())
    }

    /// Keeps a piece unless it alone takes more than there is room for.
    pub(super) fn put(&self, key: PieceKey, piece: Arc<Piece>) {
        let bytes = piece.bytes();
        if bytes > self.bytes_max {
            return;
        }
        let mut kept = self.kept.lock();
        kept.uses += 1;
        let now = kept.uses;
        if let Some((replaced, _)) = kept.pieces.insert(key, (piece, now)) {
            kept.bytes -= replaced.bytes();
        }
        kept.bytes += bytes;
        while kept.bytes > self.bytes_max {
            let oldest = kept.pieces.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key);
            let Some((dropped, _)) = oldest.and_then(|key| kept.pieces.remove(&key)) else { break };
            kept.bytes -= dropped.bytes();
        }
    }

    /// Forgets a piece that is part of a larger one now.
    pub(super) fn remove(&self, key: &PieceKey) {
        let mut kept = self.kept.lock();
        if let Some((dropped, _)) = kept.pieces.remove(key) {
            kept.bytes -= dropped.bytes();
        }
    }
}
