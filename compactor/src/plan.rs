//! Decides what to publish and what to merge. Pure: each function takes a listing and returns a plan. The same listing
//! always gives the same plan, so a run that dies half-way can simply be started again.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use lake::{CLIENT_TIMED_SLACK, LaneId, RawFile, TableFile, in_order_of_arrival};

/// Raw files to publish together.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PublishPlan {
    /// The files, in order of arrival.
    pub files: Vec<RawFile>,
    /// For each lane, the last sequence number among the files.
    pub lanes: Vec<(LaneId, u64)>,
    /// Whether more files were ready than fit.
    pub more_ready: bool,
}

/// Chooses raw files to publish.
///
/// - `pending`: the raw files that the table has not consumed.
/// - `watermarks`: for each lane, the last sequence number that the table has consumed.
/// - `bytes_max`: the plan stops before the file that would exceed this; it always takes one file.
///
/// Takes a run without gaps from each lane, starting right after the lane's watermark. A lane's files are written in
/// order, so a gap means that the listing missed a file. The files behind the gap wait for the next listing: publishing
/// them would move the watermark past the missing file, and its events would be lost. If not everything fits, files are
/// taken in [order of arrival](in_order_of_arrival).
pub fn plan_publish(pending: &[RawFile], watermarks: &BTreeMap<LaneId, u64>, bytes_max: u64) -> PublishPlan {
    let mut next: HashMap<LaneId, u64> = HashMap::new();
    let mut ready = in_order_of_arrival(pending.iter().cloned());
    ready.retain(|file| {
        let next = next.entry(file.lane).or_insert_with(|| watermarks.get(&file.lane).copied().unwrap_or(0) + 1);
        let is_next = file.seq == *next;
        *next += u64::from(is_next);
        is_next
    });
    let ready_files = ready.len();

    let mut files: Vec<RawFile> = Vec::new();
    let mut bytes = 0;
    for file in ready {
        bytes += file.size_bytes;
        if bytes > bytes_max && !files.is_empty() {
            break;
        }
        files.push(file);
    }
    // The last file of a lane wins, because sequence numbers ascend.
    let lanes: BTreeMap<LaneId, u64> = files.iter().map(|file| (file.lane, file.seq)).collect();
    let more_ready = files.len() < ready_files;
    PublishPlan { files, lanes: lanes.into_iter().collect(), more_ready }
}

/// Files of one date to merge into one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merge {
    /// The partition.
    pub date: NaiveDate,
    /// The files, at least two.
    pub files: Vec<TableFile>,
}

/// When merging is worth its writing.
#[derive(Clone, Copy, Debug)]
pub struct MergePolicy {
    /// Merged files come close to this size. Files of half this size or more are left alone.
    pub target_bytes: u64,
    /// How many files of similar size one merge takes, and the ratio between size classes. A row is rewritten once per
    /// size class: log(target / smallest) / log(fan_in) times.
    pub fan_in: usize,
    /// Files up to this size are all in the smallest class.
    pub smallest_bytes: u64,
    /// Dates this many days back receive no more events, so all small files there are merged.
    pub sealed_after_days: u64,
    /// Files with events younger than this are hot: they may hold copies of new events. Merges of hot files span at most
    /// [`hot_span`](Self::hot_span), so that a publish never searches a file that spans the day for duplicates.
    pub hot_for: TimeDelta,
    /// The longest time that a merge of hot files may span.
    pub hot_span: TimeDelta,
}

impl Default for MergePolicy {
    fn default() -> Self {
        // Events are accepted up to 72 hours late. Older dates receive only imports.
        Self {
            target_bytes: 256 << 20,
            fan_in: 16,
            smallest_bytes: 4 << 10,
            sealed_after_days: 5,
            hot_for: TimeDelta::from_std(2 * CLIENT_TIMED_SLACK).unwrap_or(TimeDelta::MAX),
            hot_span: TimeDelta::minutes(5),
        }
    }
}

/// Chooses files to merge.
///
/// - `files`: live files of a table, in any order.
/// - `now`: decides which files are hot and which dates are sealed.
///
/// Returns merges that share no file. The newest date comes first, because recent days are queried most. Files are merged
/// with their neighbours in time, so that merged files span little time.
pub fn plan_merges<'a>(
    files: impl IntoIterator<Item = &'a TableFile>,
    policy: MergePolicy,
    now: DateTime<Utc>,
) -> Vec<Merge> {
    let today = now.date_naive();
    let sealed_before = today.checked_sub_days(Days::new(policy.sealed_after_days)).unwrap_or(today);
    let hot_since_us = (now - policy.hot_for).timestamp_micros();
    let mut dates: BTreeMap<NaiveDate, Vec<&TableFile>> = BTreeMap::new();
    for file in files.into_iter().filter(|file| file.size_bytes < policy.target_bytes / 2) {
        if let Some(date) = file.date {
            dates.entry(date).or_default().push(file);
        }
    }
    let mut merges = Vec::new();
    for (date, mut small) in dates.into_iter().rev() {
        small.sort_by_key(|file| (file.times_us("occurred_at"), &file.log_path));
        if date < sealed_before {
            merges.extend(pack(date, small, policy, None, 2));
            continue;
        }
        let mut sizes: BTreeMap<u32, Vec<&TableFile>> = BTreeMap::new();
        for file in small {
            sizes.entry(size_class(file.size_bytes, policy)).or_default().push(file);
        }
        for (_, alike) in sizes {
            let is_hot = |file: &&TableFile| file.times_us("occurred_at").is_some_and(|(_, max)| max >= hot_since_us);
            let (hot, cold): (Vec<_>, Vec<_>) = alike.into_iter().partition(is_hot);
            merges.extend(pack(date, cold, policy, None, policy.fan_in));
            merges.extend(pack(date, hot, policy, Some(policy.hot_span), policy.fan_in));
        }
    }
    merges
}

/// A file's size class: 0 up to the smallest size, then one more for each factor of `fan_in`.
fn size_class(size_bytes: u64, policy: MergePolicy) -> u32 {
    (size_bytes / policy.smallest_bytes.max(1)).max(1).ilog(policy.fan_in.max(2) as u64)
}

/// The most files that one merge opens.
const OPEN_FILES_MAX: usize = 64;

/// Groups files in order. Each group comes close to the target size without exceeding it, spans at most `span_max`, and has
/// at least `files_min` files.
fn pack(
    date: NaiveDate,
    files: Vec<&TableFile>,
    policy: MergePolicy,
    span_max: Option<TimeDelta>,
    files_min: usize,
) -> Vec<Merge> {
    let mut merges = vec![Merge { date, files: vec![] }];
    for file in files {
        let group = &mut merges.last_mut().expect("there is a first").files;
        let group_bytes: u64 = group.iter().map(|file| file.size_bytes).sum();
        let fits = group_bytes + file.size_bytes <= policy.target_bytes
            && group.len() < OPEN_FILES_MAX
            && span_max.is_none_or(|span_max| span(group.iter().chain([file])) <= span_max);
        match fits {
            true => group.push(file.clone()),
            false => merges.push(Merge { date, files: vec![file.clone()] }),
        }
    }
    merges.retain(|merge| merge.files.len() >= files_min.clamp(2, OPEN_FILES_MAX));
    merges
}

/// The time from the first event in the files to the last.
fn span<'a>(files: impl Iterator<Item = &'a TableFile>) -> TimeDelta {
    let times = files.filter_map(|file| file.times_us("occurred_at"));
    let whole = times.reduce(|whole, times| (whole.0.min(times.0), whole.1.max(times.1)));
    whole.map_or(TimeDelta::zero(), |(min, max)| TimeDelta::microseconds(max - min))
}

#[cfg(test)]
mod tests {
    use super::*;

    mod publishing {
        use super::*;

        #[test]
        fn a_lane_is_taken_from_its_watermark_on() {
            check("a2 a3", "a1", 100, "a2 a3");
        }

        #[test]
        fn a_lane_stops_at_a_gap() {
            check("a1 a3 b1", "", 100, "a1 b1");
            check("a3", "a1", 100, "");
        }

        #[test]
        fn what_came_first_goes_first_when_not_all_fits() {
            check("a1@1 a2@5 a3@6 b7@2 b8@7", "b6", 20, "a1 b7");
            check("a1@1 a2@1 b7@1", "b6", 20, "a1 a2");
        }

        #[test]
        fn a_lane_keeps_its_order_whatever_the_clock_says() {
            check("a1@9 a2@1 b7@5", "b6", 20, "b7 a1");
            check("a1@9 a2@1 b7@5", "b6", 30, "b7 a1 a2");
        }

        #[test]
        fn one_file_is_always_taken() {
            check("a1 a2", "", 1, "a1");
        }

        #[test]
        fn what_does_not_fit_is_left_and_what_is_behind_a_gap_is_not() {
            let more_ready = |names: &str, bytes_max| {
                let pending: Vec<RawFile> = names.split_whitespace().map(file).collect();
                plan_publish(&pending, &BTreeMap::new(), bytes_max).more_ready
            };
            assert!(more_ready("a1 a2", 10));
            assert!(!more_ready("a1 a2", 20));
            assert!(!more_ready("a1 a3", 20));
        }

        /// Plans over files written as lane letter, sequence and perhaps when they came, each of 10 bytes.
        #[track_caller]
        fn check(pending: &str, watermarks: &str, bytes_max: u64, expected: &str) {
            let pending: Vec<RawFile> = pending.split_whitespace().map(file).collect();
            let watermarks = watermarks.split_whitespace().map(|name| (file(name).lane, file(name).seq)).collect();
            let plan = plan_publish(&pending, &watermarks, bytes_max);
            let actual: Vec<&str> = plan.files.iter().map(|file| file.path.as_ref()).collect();
            assert_eq!(actual.join(" "), expected);
            for (lane, seq) in &plan.lanes {
                assert_eq!(plan.files.iter().filter(|file| file.lane == *lane).map(|file| file.seq).max(), Some(*seq));
            }
        }

        fn file(name: &str) -> RawFile {
            let (name, came_at) = name.split_once('@').unwrap_or((name, "0"));
            let (lane, seq) = name.split_at(1);
            RawFile {
                path: name.into(),
                lane: LaneId(uuid::Uuid::from_u128(u128::from(lane.as_bytes()[0]))),
                seq: seq.parse().unwrap(),
                size_bytes: 10,
                modified_at: DateTime::from_timestamp(came_at.parse().unwrap(), 0).unwrap(),
            }
        }
    }

    mod merging {
        use chrono::NaiveTime;
        use lake::{FileRange, Value};

        use super::*;

        const KIB: u64 = 1 << 10;

        #[test]
        fn enough_files_of_one_size_are_merged() {
            check("a=1 b=1 c=1", "a+b+c");
            check("a=1 b=1", "");
        }

        #[test]
        fn files_of_different_sizes_wait_for_their_like() {
            check("a=1 b=1 c=600 d=600", "");
            check("a=1 b=1 c=1 d=600 e=600 f=600", "a+b+c d+e+f");
        }

        #[test]
        fn a_file_of_half_the_target_is_left_alone() {
            check("a=5000 b=5000 c=5000 d=5000", "");
        }

        #[test]
        fn a_merge_does_not_pass_the_target() {
            check("a=4000 b=4000 c=4000 d=4000 e=4000", "");
            check("a=3000 b=3000 c=3000 d=3000", "a+b+c");
        }

        #[test]
        fn a_sealed_date_keeps_no_two_small_files() {
            check("a=1@1 b=600@1", "a+b");
            check("a=1@1", "");
        }

        #[test]
        fn the_order_of_the_listing_does_not_matter() {
            check("c=1 a=1 b=1", "a+b+c");
        }

        #[test]
        fn neighbours_in_time_are_merged() {
            check(
                "a=1@10:300-320 b=1@10:100-120 c=1@10:320-340 d=1@10:120-130 e=1@10:310-350 f=1@10:130-150",
                "b+d+f+a+e+c",
            );
            check("a=4000@10:3-4 b=4000@10:1-2 c=4000@10:2-3 d=1@10:9-9", "");
            check("a=3000@10:3-4 b=3000@10:1-2 c=3000@10:2-3 d=3000@10:5-6", "b+c+a");
        }

        #[test]
        fn hot_files_come_to_span_little() {
            // It is minute 720.
            check("a=1@10:700-701 b=1@10:701-702 c=1@10:702-703", "a+b+c");
            check("a=1@10:700-702 b=1@10:702-704 c=1@10:704-706", "");
            check("a=1@10:100-719 b=1@10:718-719 c=1@10:718-719 d=1@10:719-720", "b+c+d");
        }

        #[test]
        fn dates_are_merged_apart() {
            check("a=1@9 b=1@9 c=1@8", "");
        }

        /// Plans over files written as `path=KiB`, `path=KiB@day` or `path=KiB@day:first-last` (minutes of the
        /// day) with a fan-in of 3 and a target of 10 MiB, at noon of the 10th day of a month.
        #[track_caller]
        fn check(files: &str, expected: &str) {
            let files: Vec<TableFile> = files.split_whitespace().map(file).collect();
            let policy = MergePolicy { target_bytes: 10_000 * KIB, fan_in: 3, ..MergePolicy::default() };
            let noon = day(10).and_hms_opt(12, 0, 0).unwrap().and_utc();
            let actual: Vec<String> = plan_merges(&files, policy, noon)
                .iter()
                .map(|merge| merge.files.iter().map(|file| file.log_path.as_str()).collect::<Vec<_>>().join("+"))
                .collect();
            assert_eq!(actual.join(" "), expected);
        }

        fn file(text: &str) -> TableFile {
            let (path, rest) = text.split_once('=').expect("path=KiB");
            let (size, date) = rest.split_once('@').unwrap_or((rest, "10"));
            let (date, times) = date.split_once(':').map_or((date, None), |(date, times)| (date, Some(times)));
            let minute = |text: &str| {
                let minutes = TimeDelta::minutes(text.parse().unwrap());
                Value::TimeUs((day(10).and_time(NaiveTime::MIN).and_utc() + minutes).timestamp_micros())
            };
            let range = times.map(|times| {
                let (first, last) = times.split_once('-').unwrap();
                FileRange { min: minute(first), max: minute(last), nulls: Some(0) }
            });
            TableFile {
                path: path.into(),
                log_path: path.into(),
                date: Some(day(date.parse().unwrap())),
                size_bytes: size.parse::<u64>().unwrap() * KIB,
                checksum: None,
                rows: 1,
                ranges: range.map(|range| ("occurred_at".to_owned(), range)).into_iter().collect(),
            }
        }

        fn day(day: u32) -> NaiveDate {
            NaiveDate::from_ymd_opt(2026, 3, day).unwrap()
        }
    }
}
