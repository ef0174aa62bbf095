//! Numbers of days, as products export them that keep no events: rows of `imported_days`. Pure.
//!
//! They stay what they are. No event is made of them: nobody knows which visitor of one row is which of another.

mod goatcounter;
mod plausible;

pub use self::goatcounter::GoatCounterDays;
pub use self::plausible::PlausibleTable;

/// A product whose exports have numbers of days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DaysSource {
    /// Plausible's export: a zip of tables `imported_….csv`.
    Plausible,
    /// GoatCounter's export in JSON: a zip of lists and statistics.
    GoatCounter,
}

impl DaysSource {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Plausible, Self::GoatCounter];

    /// How `--format` and the column `source` call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plausible => "plausible",
            Self::GoatCounter => "goatcounter",
        }
    }

    /// What its export is, for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Plausible => "Plausible's export of daily numbers",
            Self::GoatCounter => "GoatCounter's export in JSON",
        }
    }

    /// The source of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name() == name)
    }

    /// Whose numbers a file has, if it has some.
    ///
    /// - `name`: of the file.
    /// - `columns`: the columns of a table, or the fields of the first object.
    pub fn of_file(name: &str, columns: &[String]) -> Option<Self> {
        if PlausibleTable::of_columns(columns).is_some() {
            return Some(Self::Plausible);
        }
        goatcounter::is_of_export(name, columns).then_some(Self::GoatCounter)
    }
}

/// The name of a file without directories and ending.
fn stem(name: &str) -> &str {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    name.split_once('.').map_or(name, |(stem, _)| stem)
}
