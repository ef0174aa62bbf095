//! Where things lie: the names of directories, and what the name of a raw file says.

use std::fmt;

use chrono::{DateTime, Utc};
use object_store::ObjectMeta;
use object_store::path::Path;
use uuid::Uuid;

const SECONDS_PER_HOUR: i64 = 3_600;

/// The directory of the raw tier. Outside the table roots, so that no other engine's VACUUM touches it.
pub(crate) const RAW_DIR: &str = "raw";

/// The directory of copies of damaged raw files.
pub(crate) const DAMAGED_DIR: &str = "damaged";

/// The directory of refused events, and their name in SQL.
pub const QUARANTINE: &str = "quarantine";

/// The directory of the states of recurring queries.
pub(crate) const STATES_DIR: &str = "states";

/// The directory of cursors of those who follow the events.
pub(crate) const CURSORS_DIR: &str = "cursors";

/// The directory of the registry's documents.
pub(crate) const REGISTRY_DIR: &str = "registry";

/// The directory of salts: below the registry, where collectors may read and create.
pub(crate) const SALTS_DIR: &str = "registry/salts";

/// The directory of mails that were sent: below the registry, beside its documents, because they expire.
pub(crate) const MAILS_DIR: &str = "registry/mails";

/// The directory of sign-ins: beside the registry, whose versions are kept for ever, because they expire.
pub(crate) const SIGN_INS_DIR: &str = "sign_ins";

/// The directory of what people did, day by day.
pub(crate) const AUDIT_DIR: &str = "audit";

/// One UTC hour of arrivals: the unit the raw tier is filed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour {
    start: DateTime<Utc>,
}

impl Hour {
    /// The hour that contains `at`. Total: every instant lies in exactly one hour.
    pub fn containing(at: DateTime<Utc>) -> Self {
        let since_epoch_s = at.timestamp().div_euclid(SECONDS_PER_HOUR) * SECONDS_PER_HOUR;
        let start =
            DateTime::from_timestamp(since_epoch_s, 0).expect("rounding an instant down to its hour keeps it in range");
        Self { start }
    }

    /// The directory of this hour's files, relative to the lake root.
    ///
    /// ```
    /// # use lake::Hour;
    /// let hour = Hour::containing("2026-03-01T09:41:07Z".parse().unwrap());
    /// assert_eq!(hour.dir(), "raw/date=2026-03-01/hour=09");
    /// ```
    pub fn dir(self) -> String {
        self.dir_in(RAW_DIR)
    }

    /// The directory of this hour below `parent`.
    pub(crate) fn dir_in(self, parent: &str) -> String {
        format!("{parent}/{}", self.start.format("date=%Y-%m-%d/hour=%H"))
    }
}

/// One writer of one collector process. Its files carry a sequence without gaps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub Uuid);

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The version and the kind of an object of a Delta log, by its name; kinds are `json`, `crc`, `checkpoint.parquet` and so on.
/// `None` if the object belongs to no version.
pub(crate) fn log_object(path: &Path) -> Option<(u64, &str)> {
    let (version, kind) = path.filename()?.split_once('.')?;
    (version.len() == 20).then_some((version.parse().ok()?, kind))
}

/// A file of the raw tier, as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFile {
    /// Path in the store.
    pub path: Path,
    /// The lane that wrote it.
    pub lane: LaneId,
    /// Its place in the lane; the first is 1.
    pub seq: u64,
    /// Size.
    pub size_bytes: u64,
    /// When the store took it, by the store's clock; of a file just appended, its time of arrival.
    pub modified_at: DateTime<Utc>,
}

impl RawFile {
    /// The name of file `seq` of `lane`. Sequences are padded so that names sort as numbers do.
    pub(crate) fn name(lane: LaneId, seq: u64) -> String {
        format!("{lane}-{seq:012}.parquet")
    }

    /// Reads a listed object's name. `None` if it is not a raw file, but a probe or somebody's notes, for example.
    pub(crate) fn parse(meta: &ObjectMeta) -> Option<Self> {
        let stem = meta.location.filename()?.strip_suffix(".parquet")?;
        let (lane, seq) = stem.split_at_checked(36)?;
        let digits = seq.strip_prefix('-')?;
        if digits.len() != 12 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(Self {
            path: meta.location.clone(),
            lane: LaneId(Uuid::try_parse(lane).ok()?),
            seq: digits.parse().ok()?,
            size_bytes: meta.size,
            modified_at: meta.last_modified,
        })
    }
}

/// Raw files in the order in which they came: by the store's clock, and within a lane by sequence.
///
/// Of several copies of an event the one in the first file stays, and publishes take the first files. So a row that a publish
/// consumes is in the table afterwards, even for a query that listed the raw tier earlier and does not know the later files.
/// Ordering by `received_at` would break this: it is a collector's clock, so the copy that stays could be in a later file.
pub fn in_order_of_arrival(files: impl IntoIterator<Item = RawFile>) -> Vec<RawFile> {
    let mut files: Vec<RawFile> = files.into_iter().collect();
    files.sort_unstable_by_key(|file| (file.lane, file.seq));
    let mut last: Option<(LaneId, DateTime<Utc>)> = None;
    let mut timed: Vec<(DateTime<Utc>, RawFile)> = Vec::with_capacity(files.len());
    for file in files {
        let before = last.filter(|(lane, _)| *lane == file.lane).map(|(_, came_at)| came_at);
        let came_at = before.map_or(file.modified_at, |before| before.max(file.modified_at));
        last = Some((file.lane, came_at));
        timed.push((came_at, file));
    }
    timed.sort_by_key(|(came_at, file)| (*came_at, file.lane, file.seq));
    timed.into_iter().map(|(_, file)| file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANE: &str = "019aa3c2-0000-7000-8000-000000000001";

    #[test]
    fn a_name_reads_back_as_its_lane_and_sequence() {
        check(&format!("{LANE}-000000000042.parquet"), Some(42));
    }

    #[test]
    fn other_objects_are_not_raw_files() {
        check("probe-1", None);
        check("notes.parquet", None);
        check(&format!("{LANE}-42.parquet"), None);
        check(&format!("{LANE}-00000000004x.parquet"), None);
        check(&format!("{LANE}-+00000000042.parquet"), None);
        check(&format!("{LANE}-000000000042.csv"), None);
        check("äöü-äöü-äöü-äöü-äöü-äöü-äöü-äöü-äöü-000000000042.parquet", None);
    }

    proptest::proptest! {
        #[test]
        fn every_name_reads_back(lane in proptest::prelude::any::<u128>(), seq in 0..1_000_000_000_000_u64) {
            let lane = LaneId(Uuid::from_u128(lane));
            let found = RawFile::parse(&listed(&RawFile::name(lane, seq)));
            proptest::prop_assert_eq!(found.map(|file| (file.lane, file.seq)), Some((lane, seq)));
        }

        #[test]
        fn a_changed_name_is_another_files_or_nobodys(
            lane in proptest::prelude::any::<u128>(),
            seq in 0..1_000_000_000_000_u64,
            place in 0..57_usize,
            byte in "[ -~]",
        ) {
            let mut name = RawFile::name(LaneId(Uuid::from_u128(lane)), seq);
            name.replace_range(place..place + 1, &byte);
            if let Some(file) = RawFile::parse(&listed(&name)) {
                proptest::prop_assert_eq!(RawFile::name(file.lane, file.seq), name.to_lowercase());
            }
        }
    }

    #[test]
    fn names_sort_as_sequences_do() {
        let lane = LaneId(Uuid::try_parse(LANE).unwrap());
        assert!(RawFile::name(lane, 9) < RawFile::name(lane, 10));
    }

    #[track_caller]
    fn check(name: &str, expected_seq: Option<u64>) {
        assert_eq!(RawFile::parse(&listed(name)).map(|file| file.seq), expected_seq, "{name}");
    }

    fn listed(name: &str) -> ObjectMeta {
        ObjectMeta {
            location: Path::from(format!("raw/date=2026-03-01/hour=09/{name}")),
            last_modified: DateTime::UNIX_EPOCH,
            size: 1,
            e_tag: None,
            version: None,
        }
    }
}
