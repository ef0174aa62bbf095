//! What an answer was made of, which a report says of each metric.

/// What an answer was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FoldUse {
    /// Files of the table with events that count.
    pub files: usize,
    /// How many of them were not read, because what they give was known; for tables over sessions, but for visitors of whom
    /// something is new.
    pub known_files: usize,
    /// Rows of events that were read, pending ones among them.
    pub rows_read: u64,
    /// Aggregates over what is made of users.
    pub tallies: usize,
    /// How many of them were not made of all users again.
    pub updated_tallies: usize,
}

impl FoldUse {
    pub(super) fn add(&mut self, other: Self) {
        self.files += other.files;
        self.known_files += other.known_files;
        self.rows_read += other.rows_read;
        self.tallies += other.tallies;
        self.updated_tallies += other.updated_tallies;
    }
}
