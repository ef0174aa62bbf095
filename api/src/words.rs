//! Words, numbers and dates for people who read what this server writes itself: mails, and pages without scripts. Pure.

use std::collections::HashMap;
use std::sync::LazyLock;

use chrono::{Datelike, NaiveDate};

/// A language that this server writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Language {
    #[default]
    English,
    German,
}

/// A text of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Visitors,
    Sessions,
    PageViews,
    BounceRate,
    SessionDuration,
    EngagedTime,
    Pages,
    Channels,
    Referrers,
    Countries,
    Devices,
    Browsers,
    Events,
    Page,
    Channel,
    Referrer,
    Country,
    Device,
    Browser,
    Event,
    None,
    NothingYet,
    OpenDashboard,
    Unsubscribe,
    WhyThisMail,
    Weekly,
    Monthly,
    Test,
    Overview,
    LastDays,
    FinalUntil,
    WithScripts,
    Site,
    Show,
    UnsubscribeQuestion,
    Unsubscribed,
    LinkIsGone,
    SignInFirst,
    Trouble,
}

impl Language {
    /// The language of a code such as `de`; `None` if it is not written here.
    pub(crate) fn of_code(code: &str) -> Option<Self> {
        match code {
            "en" => Some(Self::English),
            "de" => Some(Self::German),
            _ => None,
        }
    }

    /// The first of the languages that a browser asks for.
    pub(crate) fn accepted(accepted: &str) -> Self {
        let codes = accepted.split(',').filter_map(|one| one.split([';', '-']).next());
        codes.filter_map(|code| Self::of_code(&code.trim().to_lowercase())).next().unwrap_or_default()
    }

    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// A text in this language.
    pub(crate) fn say(self, word: Word) -> &'static str {
        let [english, german] = texts(word);
        match self {
            Self::English => english,
            Self::German => german,
        }
    }

    /// The name of a country of two letters, or these.
    pub(crate) fn country(self, code: &str) -> String {
        static NAMES: LazyLock<HashMap<&str, [&str; 2]>> = LazyLock::new(|| {
            let lines = include_str!("../data/countries.tsv").lines().filter(|line| !line.starts_with('#'));
            lines
                .filter_map(|line| {
                    let mut fields = line.split('\t');
                    Some((fields.next()?, [fields.next()?, fields.next()?]))
                })
                .collect()
        });
        let Some([english, german]) = NAMES.get(code) else { return code.to_owned() };
        match self {
            Self::English => (*english).to_owned(),
            Self::German => (*german).to_owned(),
        }
    }

    /// A whole number: 1,307 or 1.307.
    pub(crate) fn count(self, number: f64) -> String {
        let digits = format!("{:.0}", number.abs());
        let mut grouped = String::new();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                grouped.push(if self == Self::German { '.' } else { ',' });
            }
            grouped.push(digit);
        }
        if number < -0.5 { format!("−{grouped}") } else { grouped }
    }

    /// A share of one: 41.7%, or 41,7 %.
    pub(crate) fn percent(self, share: f64) -> String {
        let text = format!("{:.1}", share * 100.0);
        let text = text.strip_suffix(".0").unwrap_or(&text).replace('-', "−");
        match self {
            Self::English => format!("{text}%"),
            Self::German => format!("{}\u{a0}%", text.replace('.', ",")),
        }
    }

    /// By how much a number changed, with its sign.
    pub(crate) fn change(self, share: f64) -> String {
        let rounded = (share * 100.0).round() / 100.0;
        let text = self.percent(rounded);
        if rounded > 0.0 { format!("+{text}") } else { text }
    }

    /// Seconds: 95 is `1m 35s`.
    pub(crate) fn duration(self, seconds: f64) -> String {
        let seconds = seconds.round() as i64;
        match seconds {
            ..60 => format!("{seconds}s"),
            60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
            _ => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
        }
    }

    /// A day: 2 March 2026, or 2. März 2026.
    pub(crate) fn day(self, day: NaiveDate) -> String {
        match self {
            Self::English => format!("{} {} {}", day.day(), self.month(day), day.year()),
            Self::German => format!("{}. {} {}", day.day(), self.month(day), day.year()),
        }
    }

    /// The name of a day's month.
    pub(crate) fn month(self, day: NaiveDate) -> &'static str {
        const ENGLISH: [&str; 12] = [
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        ];
        const GERMAN: [&str; 12] = [
            "Januar",
            "Februar",
            "März",
            "April",
            "Mai",
            "Juni",
            "Juli",
            "August",
            "September",
            "Oktober",
            "November",
            "Dezember",
        ];
        let names = if self == Self::German { GERMAN } else { ENGLISH };
        names[day.month0() as usize]
    }
}

/// English and German.
fn texts(word: Word) -> [&'static str; 2] {
    match word {
        Word::Visitors => ["Visitors", "Besucher"],
        Word::Sessions => ["Sessions", "Sitzungen"],
        Word::PageViews => ["Page views", "Seitenaufrufe"],
        Word::BounceRate => ["Bounce rate", "Absprungrate"],
        Word::SessionDuration => ["Session duration", "Sitzungsdauer"],
        Word::EngagedTime => ["Engaged time", "Aktive Zeit"],
        Word::Pages => ["Pages", "Seiten"],
        Word::Channels => ["Channels", "Kanäle"],
        Word::Referrers => ["Referrers", "Verweise"],
        Word::Countries => ["Countries", "Länder"],
        Word::Devices => ["Devices", "Geräte"],
        Word::Browsers => ["Browsers", "Browser"],
        Word::Events => ["Events", "Ereignisse"],
        Word::Page => ["Page", "Seite"],
        Word::Channel => ["Channel", "Kanal"],
        Word::Referrer => ["Referrer", "Verweis"],
        Word::Country => ["Country", "Land"],
        Word::Device => ["Device", "Gerät"],
        Word::Browser => ["Browser", "Browser"],
        Word::Event => ["Event", "Ereignis"],
        Word::None => ["(none)", "(keine Angabe)"],
        Word::NothingYet => ["Nothing in this time.", "Nichts in dieser Zeit."],
        Word::OpenDashboard => ["Open the dashboard", "Dashboard öffnen"],
        Word::Unsubscribe => ["Unsubscribe", "Abbestellen"],
        Word::WhyThisMail => [
            "You get this because somebody of this site put your address on its list.",
            "Sie bekommen diese Nachricht, weil jemand von dieser Website Ihre Adresse eingetragen hat.",
        ],
        Word::Weekly => ["Weekly report", "Wochenbericht"],
        Word::Monthly => ["Monthly report", "Monatsbericht"],
        Word::Test => ["Test", "Probe"],
        Word::Overview => ["Overview", "Überblick"],
        Word::LastDays => ["Last 30 days", "Letzte 30 Tage"],
        Word::FinalUntil => ["Final until", "Endgültig bis"],
        Word::WithScripts => ["The whole dashboard needs JavaScript.", "Das ganze Dashboard braucht JavaScript."],
        Word::Site => ["Site", "Website"],
        Word::Show => ["Show", "Anzeigen"],
        Word::UnsubscribeQuestion => {
            ["Shall no more reports be sent to this address?", "Sollen keine Berichte mehr an diese Adresse gehen?"]
        }
        Word::Unsubscribed => ["No more reports are sent to you.", "Sie bekommen keine Berichte mehr."],
        Word::LinkIsGone => [
            "There is nothing to unsubscribe: this was done already.",
            "Es gibt nichts abzubestellen: Das ist schon geschehen.",
        ],
        Word::SignInFirst => [
            "Sign in first, or open the link that you were given.",
            "Melden Sie sich zuerst an, oder öffnen Sie den Link, den Sie bekommen haben.",
        ],
        Word::Trouble => ["This cannot be shown now", "Das lässt sich jetzt nicht zeigen"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_write_them() {
        let [english, german] = [Language::English, Language::German];
        for (number, expected) in [
            (0.0, ["0", "0"]),
            (999.0, ["999", "999"]),
            (1_307.0, ["1,307", "1.307"]),
            (1_234_567.0, ["1,234,567", "1.234.567"]),
        ] {
            assert_eq!([english.count(number), german.count(number)], expected);
        }
        for (share, expected) in [
            (0.417, ["41.7%", "41,7\u{a0}%"]),
            (0.5, ["50%", "50\u{a0}%"]),
            (0.0, ["0%", "0\u{a0}%"]),
            (1.0, ["100%", "100\u{a0}%"]),
        ] {
            assert_eq!([english.percent(share), german.percent(share)], expected);
        }
        for (share, expected) in [
            (0.307, ["+31%", "+31\u{a0}%"]),
            (-0.05, ["−5%", "−5\u{a0}%"]),
            (0.001, ["0%", "0\u{a0}%"]),
            (12.0, ["+1200%", "+1200\u{a0}%"]),
        ] {
            assert_eq!([english.change(share), german.change(share)], expected);
        }
        for (seconds, expected) in [(0.2, "0s"), (95.0, "1m 35s"), (3_660.0, "1h 1m")] {
            assert_eq!(english.duration(seconds), expected);
        }
        let day = "2026-03-02".parse().unwrap();
        assert_eq!([english.day(day), german.day(day)], ["2 March 2026", "2. März 2026"]);
        assert_eq!(["DE", "XX"].map(|code| german.country(code)), ["Deutschland", "XX"]);
    }

    #[test]
    fn a_browser_gets_the_first_of_its_languages_that_is_written() {
        for (accepted, expected) in [
            ("", Language::English),
            ("de-DE,de;q=0.9,en;q=0.8", Language::German),
            ("fr-FR, fr;q=0.9, de;q=0.5", Language::German),
            ("en-GB,de", Language::English),
            ("*", Language::English),
        ] {
            assert_eq!(Language::accepted(accepted), expected, "{accepted}");
        }
    }
}
