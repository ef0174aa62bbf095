//! Decides which events have expired: those older than their site's retention. Pure, but for remembering files.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound::Included;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch, StringArray};
use chrono::{Days, NaiveDate};
use lake::{Site, TableFile, Value};
use parking_lot::Mutex;

/// For how many days each site keeps its events. Sites that keep everything are absent.
type RetentionDays = BTreeMap<Arc<str>, u32>;

/// What has expired on one day, by the retention of all sites.
#[derive(Clone, Debug)]
pub(crate) struct Expiry {
    today: NaiveDate,
    retention_days: RetentionDays,
    unexpired: Arc<UnexpiredFiles>,
}

/// Remembers, from run to run, on which day each file first has an expired row.
///
/// The log tells only the first and last site in a file. A file of many sites therefore nearly always may have expired rows,
/// and every run would read it again.
#[derive(Debug, Default)]
pub(crate) struct UnexpiredFiles(Mutex<Unexpired>);

#[derive(Debug, Default)]
struct Unexpired {
    /// The retention by which the days were found.
    retention_days: RetentionDays,
    /// By log path, the first day on which a row of the file has expired.
    until: HashMap<String, NaiveDate>,
}

impl UnexpiredFiles {
    /// What has expired today; `None` if every site keeps everything.
    pub(crate) fn plan(self: &Arc<Self>, sites: &[Arc<Site>], today: NaiveDate) -> Option<Expiry> {
        let retention_days: RetentionDays =
            sites.iter().filter_map(|site| Some((site.site_id.clone(), site.retention_days?))).collect();
        let mut unexpired = self.0.lock();
        if unexpired.retention_days != retention_days {
            *unexpired = Unexpired { retention_days: retention_days.clone(), until: HashMap::new() };
        }
        (!retention_days.is_empty()).then(|| Expiry { today, retention_days, unexpired: self.clone() })
    }
}

impl Expiry {
    /// Whether a file may have expired rows, judging by the log and by what is remembered.
    pub(crate) fn may_match(&self, file: &TableFile) -> bool {
        let Some(date) = file.date else { return false };
        let has_expired_site = match site_range(file) {
            Some((min, max)) if min <= max => self
                .retention_days
                .range::<str, _>((Included(min), Included(max)))
                .any(|(site, _)| self.is_expired(site, date)),
            Some(_) => false,
            None => self.retention_days.keys().any(|site| self.is_expired(site, date)),
        };
        has_expired_site && self.unexpired_until(file).is_none_or(|until| self.today >= until)
    }

    /// Whether every row of a file has expired, judging by the log.
    pub(crate) fn matches_whole(&self, file: &TableFile) -> bool {
        match (file.date, site_range(file)) {
            (Some(date), Some((min, max))) => min == max && self.is_expired(min, date),
            _ => false,
        }
    }

    /// Which rows of a batch have expired.
    pub(crate) fn matching_rows(&self, file: &TableFile, batch: &RecordBatch) -> BooleanArray {
        let sites = sites_of(batch);
        let expired: HashSet<&str> = match file.date {
            Some(date) => distinct(sites).into_iter().filter(|site| self.is_expired(site, date)).collect(),
            None => HashSet::new(),
        };
        sites.iter().map(|site| Some(site.is_some_and(|site| expired.contains(site)))).collect()
    }

    /// The next day on which one of these rows expires; `None` if none does.
    pub(crate) fn next_expiry(&self, file: &TableFile, batch: &RecordBatch) -> Option<NaiveDate> {
        let date = file.date?;
        let ends = distinct(sites_of(batch)).into_iter().filter_map(|site| self.expires_on(site, date));
        ends.filter(|end| *end > self.today).min()
    }

    /// Remembers that no row of a file expires before `until`, or ever.
    pub(crate) fn remember(&self, file: &TableFile, until: Option<NaiveDate>) {
        let mut unexpired = self.unexpired.0.lock();
        if unexpired.retention_days == self.retention_days {
            unexpired.until.insert(file.log_path.clone(), until.unwrap_or(NaiveDate::MAX));
        }
    }

    /// Forgets all files but the live ones.
    pub(crate) fn forget_all_but(&self, live: &[TableFile]) {
        let live: HashSet<&str> = live.iter().map(|file| file.log_path.as_str()).collect();
        let mut unexpired = self.unexpired.0.lock();
        unexpired.until.retain(|path, _| live.contains(path.as_str()));
    }

    fn unexpired_until(&self, file: &TableFile) -> Option<NaiveDate> {
        self.unexpired.0.lock().until.get(&file.log_path).copied()
    }

    fn is_expired(&self, site: &str, date: NaiveDate) -> bool {
        self.expires_on(site, date).is_some_and(|end| self.today >= end)
    }

    /// The first day on which a site's events of this date have expired.
    fn expires_on(&self, site: &str, date: NaiveDate) -> Option<NaiveDate> {
        date.checked_add_days(Days::new(u64::from(*self.retention_days.get(site)?) + 1))
    }
}

fn sites_of(batch: &RecordBatch) -> &StringArray {
    batch["site_id"].as_string::<i32>()
}

/// The distinct sites of rows that are sorted by site.
fn distinct(sites: &StringArray) -> HashSet<&str> {
    let mut last = None;
    sites.iter().flatten().filter(|site| last.replace(*site) != Some(*site)).collect()
}

fn site_range(file: &TableFile) -> Option<(&str, &str)> {
    let range = file.ranges.get("site_id")?;
    match (&range.min, &range.max) {
        (Value::Text(min), Value::Text(max)) => Some((min, max)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};
    use chrono::DateTime;
    use lake::{FileRange, SiteSettings};

    use super::*;

    #[test]
    fn a_site_keeps_its_events_for_so_many_days() {
        let expiry = plan(&Arc::default(), "a=2", 10);
        let is_expired = |date| expiry.is_expired("a", day(date));
        assert_eq!([is_expired(7), is_expired(8), is_expired(9)], [true, false, false]);
        assert!(!expiry.is_expired("b", day(1)));
    }

    #[test]
    fn nothing_is_planned_if_all_keep_everything() {
        assert!(Arc::<UnexpiredFiles>::default().plan(&[], day(10)).is_none());
    }

    #[test]
    fn only_files_that_may_have_such_a_sites_rows_are_read() {
        let expiry = plan(&Arc::default(), "b=2 d=20", 10);
        let may_match = |sites, date| expiry.may_match(&file(sites, date));
        assert!(may_match("a-c", 7) && may_match("b-b", 7));
        assert!(!may_match("a-c", 8), "too young");
        assert!(!may_match("c-e", 7), "d keeps them longer");
        assert!(!may_match("a-a", 7), "a keeps all");
        assert!(expiry.matches_whole(&file("b-b", 7)) && !expiry.matches_whole(&file("b-c", 7)));
    }

    #[test]
    fn a_files_rows_leave_site_by_site() {
        let kept = Arc::default();
        let expiry = plan(&kept, "a=2 b=4", 10);
        let (file, rows) = (file("a-c", 7), rows("a a b c"));
        assert_eq!(expiry.matching_rows(&file, &rows), BooleanArray::from(vec![true, true, false, false]));
        assert_eq!(expiry.next_expiry(&file, &rows), Some(day(12)));
        assert_eq!(expiry.next_expiry(&file, &self::rows("c")), None);
    }

    #[test]
    fn a_file_is_read_again_when_something_of_it_is_too_old_or_a_site_keeps_another_time() {
        let kept = Arc::default();
        let file = file("a-c", 3);
        let today = plan(&kept, "b=2 c=8", 10);
        assert!(today.may_match(&file));
        // Reading it shows only rows of c.
        today.remember(&file, today.next_expiry(&file, &rows("c")));
        assert!(!plan(&kept, "b=2 c=8", 11).may_match(&file));
        assert!(plan(&kept, "b=2 c=8", 12).may_match(&file));
        assert!(plan(&kept, "b=2 c=9", 11).may_match(&file));
        // Days found with an earlier retention are forgotten.
        today.remember(&file, None);
        let tomorrow = plan(&kept, "b=2 c=9", 11);
        assert!(tomorrow.may_match(&file));
        tomorrow.remember(&file, None);
        tomorrow.forget_all_but(std::slice::from_ref(&file));
        assert!(!tomorrow.may_match(&file));
        tomorrow.forget_all_but(&[]);
        assert!(tomorrow.may_match(&file));
    }

    /// For sites written as `name=days`, on a day of March.
    fn plan(kept: &Arc<UnexpiredFiles>, sites: &str, today: u32) -> Expiry {
        let site = |text: &str| {
            let (name, days) = text.split_once('=').unwrap();
            Arc::new(Site {
                site_id: name.into(),
                created_at: DateTime::UNIX_EPOCH,
                keys: vec![],
                organisation: None,
                retention_days: Some(days.parse().unwrap()),
                settings: SiteSettings::default(),
                lake: None,
            })
        };
        let sites: Vec<Arc<Site>> = sites.split_whitespace().map(site).collect();
        kept.plan(&sites, day(today)).unwrap()
    }

    /// A file of the sites from the first to the last.
    fn file(sites: &str, date: u32) -> TableFile {
        let (min, max) = sites.split_once('-').unwrap();
        let text = |text: &str| Value::Text(text.to_owned());
        TableFile {
            path: sites.into(),
            log_path: sites.to_owned(),
            date: Some(day(date)),
            size_bytes: 1,
            checksum: None,
            rows: 1,
            ranges: [("site_id".to_owned(), FileRange { min: text(min), max: text(max), nulls: None })].into(),
        }
    }

    fn rows(sites: &str) -> RecordBatch {
        let schema = Schema::new(vec![Field::new("site_id", DataType::Utf8, false)]);
        let sites = StringArray::from(sites.split_whitespace().collect::<Vec<_>>());
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(sites)]).unwrap()
    }

    fn day(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 3, day).unwrap()
    }
}
