//! Which events are older than their sites keep them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound::Included;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch, StringArray};
use chrono::{Days, NaiveDate};
use lake::{Site, TableFile, Value};
use parking_lot::Mutex;

/// For how many days each site keeps its events; those that keep them for ever are not among them.
type KeepDays = BTreeMap<Arc<str>, u32>;

/// What all sites ask to be removed on one day.
#[derive(Clone, Debug)]
pub(crate) struct Expiry {
    today: NaiveDate,
    keep_days: KeepDays,
    kept: Arc<KeptFiles>,
}

/// Files that were read and have nothing that is too old before some date. Remembered from run to run: a file of many sites
/// spans nearly all of them by what the log says, and would be read again for ever.
#[derive(Debug, Default)]
pub(crate) struct KeptFiles(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// What this was found by.
    keep_days: KeepDays,
    /// By log path, the first day on which something of the file is too old.
    until: HashMap<String, NaiveDate>,
}

impl KeptFiles {
    /// What is to be removed today; `None` if every site keeps everything.
    pub(crate) fn plan(self: &Arc<Self>, sites: &[Arc<Site>], today: NaiveDate) -> Option<Expiry> {
        let keep_days: KeepDays =
            sites.iter().filter_map(|site| Some((site.site_id.clone(), site.retention_days?))).collect();
        let mut kept = self.0.lock();
        if kept.keep_days != keep_days {
            *kept = Kept { keep_days: keep_days.clone(), until: HashMap::new() };
        }
        (!keep_days.is_empty()).then(|| Expiry { today, keep_days, kept: self.clone() })
    }
}

impl Expiry {
    /// Whether a file may have such rows, by what the log says of it and what is remembered.
    pub(crate) fn may_be_in(&self, file: &TableFile) -> bool {
        let Some(date) = file.date else { return false };
        let some_are_over = match site_range(file) {
            Some((min, max)) if min <= max => {
                self.keep_days.range::<str, _>((Included(min), Included(max))).any(|(site, _)| self.is_over(site, date))
            }
            Some(_) => false,
            None => self.keep_days.keys().any(|site| self.is_over(site, date)),
        };
        some_are_over && self.kept_until(file).is_none_or(|until| self.today >= until)
    }

    /// Whether all rows of a file are such, by what the log says of it.
    pub(crate) fn is_all_of(&self, file: &TableFile) -> bool {
        match (file.date, site_range(file)) {
            (Some(date), Some((min, max))) => min == max && self.is_over(min, date),
            _ => false,
        }
    }

    /// Which rows of a file are such.
    pub(crate) fn rows(&self, file: &TableFile, batch: &RecordBatch) -> BooleanArray {
        let sites = sites_of(batch);
        let over: HashSet<&str> = match file.date {
            Some(date) => distinct(sites).into_iter().filter(|site| self.is_over(site, date)).collect(),
            None => HashSet::new(),
        };
        sites.iter().map(|site| Some(site.is_some_and(|site| over.contains(site)))).collect()
    }

    /// When the first of some rows of a file that are kept today are too old; `None` if none ever is.
    pub(crate) fn next(&self, file: &TableFile, batch: &RecordBatch) -> Option<NaiveDate> {
        let date = file.date?;
        let ends = distinct(sites_of(batch)).into_iter().filter_map(|site| self.ends_on(site, date));
        ends.filter(|end| *end > self.today).min()
    }

    /// Remembers that nothing of a file is too old before `until`, or ever.
    pub(crate) fn keep(&self, file: &TableFile, until: Option<NaiveDate>) {
        let mut kept = self.kept.0.lock();
        if kept.keep_days == self.keep_days {
            kept.until.insert(file.log_path.clone(), until.unwrap_or(NaiveDate::MAX));
        }
    }

    /// Forgets files that are no more.
    pub(crate) fn forget_all_but(&self, live: &[TableFile]) {
        let live: HashSet<&str> = live.iter().map(|file| file.log_path.as_str()).collect();
        let mut kept = self.kept.0.lock();
        kept.until.retain(|path, _| live.contains(path.as_str()));
    }

    fn kept_until(&self, file: &TableFile) -> Option<NaiveDate> {
        self.kept.0.lock().until.get(&file.log_path).copied()
    }

    fn is_over(&self, site: &str, date: NaiveDate) -> bool {
        self.ends_on(site, date).is_some_and(|end| self.today >= end)
    }

    /// The first day on which a site's events of a date are too old.
    fn ends_on(&self, site: &str, date: NaiveDate) -> Option<NaiveDate> {
        date.checked_add_days(Days::new(u64::from(*self.keep_days.get(site)?) + 1))
    }
}

fn sites_of(batch: &RecordBatch) -> &StringArray {
    batch["site_id"].as_string::<i32>()
}

/// The different sites of rows that lie together by site.
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
        let is_over = |date| expiry.is_over("a", day(date));
        assert_eq!([is_over(7), is_over(8), is_over(9)], [true, false, false]);
        assert!(!expiry.is_over("b", day(1)));
    }

    #[test]
    fn nothing_is_planned_if_all_keep_everything() {
        assert!(Arc::<KeptFiles>::default().plan(&[], day(10)).is_none());
    }

    #[test]
    fn only_files_that_may_have_such_a_sites_rows_are_read() {
        let expiry = plan(&Arc::default(), "b=2 d=20", 10);
        let may_be_in = |sites, date| expiry.may_be_in(&file(sites, date));
        assert!(may_be_in("a-c", 7) && may_be_in("b-b", 7));
        assert!(!may_be_in("a-c", 8), "too young");
        assert!(!may_be_in("c-e", 7), "d keeps them longer");
        assert!(!may_be_in("a-a", 7), "a keeps all");
        assert!(expiry.is_all_of(&file("b-b", 7)) && !expiry.is_all_of(&file("b-c", 7)));
    }

    #[test]
    fn a_files_rows_leave_site_by_site() {
        let kept = Arc::default();
        let expiry = plan(&kept, "a=2 b=4", 10);
        let (file, rows) = (file("a-c", 7), rows("a a b c"));
        assert_eq!(expiry.rows(&file, &rows), BooleanArray::from(vec![true, true, false, false]));
        assert_eq!(expiry.next(&file, &rows), Some(day(12)));
        assert_eq!(expiry.next(&file, &self::rows("c")), None);
    }

    #[test]
    fn a_file_is_read_again_when_something_of_it_is_too_old_or_a_site_keeps_another_time() {
        let kept = Arc::default();
        let file = file("a-c", 3);
        let today = plan(&kept, "b=2 c=8", 10);
        assert!(today.may_be_in(&file));
        // It has c alone, as it turns out.
        today.keep(&file, today.next(&file, &rows("c")));
        assert!(!plan(&kept, "b=2 c=8", 11).may_be_in(&file));
        assert!(plan(&kept, "b=2 c=8", 12).may_be_in(&file));
        assert!(plan(&kept, "b=2 c=9", 11).may_be_in(&file));
        // What was found by another time is no help.
        today.keep(&file, None);
        let tomorrow = plan(&kept, "b=2 c=9", 11);
        assert!(tomorrow.may_be_in(&file));
        tomorrow.keep(&file, None);
        tomorrow.forget_all_but(std::slice::from_ref(&file));
        assert!(!tomorrow.may_be_in(&file));
        tomorrow.forget_all_but(&[]);
        assert!(tomorrow.may_be_in(&file));
    }

    /// For sites written as `name=days`, on a day of March.
    fn plan(kept: &Arc<KeptFiles>, sites: &str, today: u32) -> Expiry {
        let site = |text: &str| {
            let (name, days) = text.split_once('=').unwrap();
            Arc::new(Site {
                site_id: name.into(),
                created_at: DateTime::UNIX_EPOCH,
                keys: vec![],
                retention_days: Some(days.parse().unwrap()),
                settings: SiteSettings::default(),
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
