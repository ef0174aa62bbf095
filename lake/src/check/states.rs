//! The states of recurring queries: each can be read and belongs to a live file.

use std::collections::HashMap;

use futures::{StreamExt, stream};

use super::{CONCURRENT_OBJECTS, Checked, Finding};
use crate::error::{LakeError, Result, whole_text};
use crate::lake::Lake;
use crate::layout::STATES_DIR;
use crate::states::StoredState;

impl Lake {
    /// Reads every state.
    ///
    /// - `live`: the names of the live files of `events`, with the rows that each has.
    pub(super) async fn check_states(
        &self,
        states: Vec<StoredState>,
        live: &HashMap<String, u64>,
        checked: &mut Checked,
    ) -> Result<()> {
        let read = stream::iter(states).map(async |state| {
            let outcome = match live.get(&state.file) {
                Some(rows) => Some(self.read_checked(&state, *rows).await),
                None => None,
            };
            (state, outcome)
        });
        let read: Vec<(StoredState, Option<Result<u64>>)> = read.buffer_unordered(CONCURRENT_OBJECTS).collect().await;
        let (mut left, mut left_bytes) = (0, 0);
        for (state, outcome) in read {
            match outcome {
                None => (left, left_bytes) = (left + 1, left_bytes + state.object.size),
                Some(Ok(rows)) => checked.states.add(rows, state.object.size),
                // Vacuumed since the listing.
                Some(Err(LakeError::Gone { .. })) => {}
                Some(Err(error @ LakeError::Corrupt { .. })) => checked.findings.push(Finding::warning(
                    &state.object.location,
                    format!("it cannot be used ({}); the next run of its query makes it again", whole_text(&error)),
                )),
                Some(Err(error)) => return Err(error),
            }
        }
        if left > 0 {
            checked.findings.push(Finding::warning(
                self.path(STATES_DIR),
                format!(
                    "{left} states of {left_bytes} bytes are of files that no version has; a compactor removes them with its \
                     next vacuum"
                ),
            ));
        }
        Ok(())
    }

    async fn read_checked(&self, state: &StoredState, event_rows: u64) -> Result<u64> {
        let batches = self.decode_state(&state.object.location, event_rows).await?;
        Ok(batches.iter().map(|batch| batch.num_rows() as u64).sum())
    }
}
