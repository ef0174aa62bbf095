//! What a report says, in plain text and in HTML. Pure.
//!
//! Programs that show mails know no style sheets to speak of, so colours stand beside each element, in tables. Names and
//! pages come from anybody: they are only ever text.

use super::calendar::{Period, Rhythm};
use crate::html::escape;
use crate::http::figures::{Figures, Number, Table};
use crate::words::{Language, Word};

/// A report of a site.
pub(crate) struct Report<'a> {
    pub(crate) site: &'a str,
    pub(crate) rhythm: Rhythm,
    pub(crate) period: &'a Period,
    pub(crate) language: Language,
    pub(crate) figures: &'a Figures,
    /// Whether somebody has only tried how it looks.
    pub(crate) is_test: bool,
    pub(crate) dashboard: &'a str,
    pub(crate) unsubscribe: &'a str,
}

const INK: &str = "#12201f";
const FAINT: &str = "#5b6b6a";
const LINE: &str = "#e2e8e8";
const ACCENT: &str = "#0b7a7a";
const GROUND: &str = "#f4f6f6";
const FONT: &str = "system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif";

impl Report<'_> {
    pub(crate) fn subject(&self) -> String {
        let test = if self.is_test { format!("[{}] ", self.language.say(Word::Test)) } else { String::new() };
        let visitors = self.figures.numbers.first().map(|number| number.shown(self.language)).unwrap_or_default();
        let word = self.language.say(Word::Visitors).to_lowercase();
        let word = if self.language == Language::German { self.language.say(Word::Visitors) } else { &word };
        format!("{test}{}: {visitors} {word}, {}", self.site, self.when())
    }

    /// The period, for people.
    fn when(&self) -> String {
        let Period { first, last, .. } = self.period;
        match self.rhythm {
            Rhythm::Weekly => format!("{} – {}", self.language.day(*first), self.language.day(*last)),
            Rhythm::Monthly => format!("{} {}", self.language.month(*first), first.format("%Y")),
        }
    }

    fn title(&self) -> &'static str {
        self.language.say(match self.rhythm {
            Rhythm::Weekly => Word::Weekly,
            Rhythm::Monthly => Word::Monthly,
        })
    }

    fn change(&self, number: &Number) -> String {
        number.change.map_or_else(String::new, |change| self.language.change(change))
    }

    pub(crate) fn text(&self) -> String {
        let say = |word| self.language.say(word);
        let mut text = format!("{}: {}\n{}\n\n", self.title(), self.site, self.when());
        for number in &self.figures.numbers {
            let line = format!("{:<18}{:>10}  {}", say(number.title), number.shown(self.language), self.change(number));
            text += line.trim_end();
            text.push('\n');
        }
        for table in self.figures.tables.iter().filter(|table| !table.rows.is_empty()) {
            text += &format!("\n{}\n", say(table.title));
            for (name, [first, _]) in &table.rows {
                let name: String = name.chars().filter(|char| !char.is_control()).take(48).collect();
                text += &format!("  {name:<48}{:>10}\n", self.shown(*first));
            }
        }
        text += &format!("\n{}: {}\n", say(Word::OpenDashboard), self.dashboard);
        text += &format!("\n{}\n{}: {}\n", say(Word::WhyThisMail), say(Word::Unsubscribe), self.unsubscribe);
        text
    }

    fn shown(&self, value: Option<f64>) -> String {
        value.map_or_else(|| "–".to_owned(), |value| self.language.count(value))
    }

    pub(crate) fn html(&self) -> String {
        let say = |word| self.language.say(word);
        let numbers = self.figures.numbers.chunks(3).map(|row| {
            let cells = row.iter().map(|number| self.number(number)).collect::<String>();
            format!("<tr>{cells}</tr>")
        });
        let numbers: String = numbers.collect();
        let tables: String =
            self.figures.tables.iter().filter(|table| !table.rows.is_empty()).map(|one| self.table(one)).collect();
        let (site, when, title) = (escape(self.site), escape(&self.when()), self.title());
        let (dashboard, unsubscribe) = (escape(self.dashboard), escape(self.unsubscribe));
        let (code, open, why, end) =
            (self.language.code(), say(Word::OpenDashboard), say(Word::WhyThisMail), say(Word::Unsubscribe));
        format!(
            r#"<!doctype html>
<html lang="{code}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{site}: {when}</title></head>
<body style="margin:0;padding:0;background:{GROUND};color:{INK};font-family:{FONT};font-size:14px;line-height:1.5">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="background:{GROUND}"><tr><td align="center" style="padding:24px 12px">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="max-width:600px;background:#ffffff;border:1px solid {LINE};border-radius:12px">
<tr><td style="padding:24px 24px 8px"><p style="margin:0;color:{FAINT};font-size:13px">{title}</p><h1 style="margin:0;font-size:22px;line-height:1.3">{site}</h1><p style="margin:0;color:{FAINT}">{when}</p></td></tr>
<tr><td style="padding:8px 16px"><table role="presentation" width="100%" cellpadding="0" cellspacing="0">{numbers}</table></td></tr>
{tables}<tr><td style="padding:16px 24px 24px"><a href="{dashboard}" style="display:inline-block;padding:10px 18px;border-radius:8px;background:{ACCENT};color:#ffffff;text-decoration:none;font-weight:600">{open}</a></td></tr>
</table>
<p style="max-width:600px;margin:16px auto 0;color:{FAINT};font-size:12px">{why}<br><a href="{unsubscribe}" style="color:{FAINT}">{end}</a></p>
</td></tr></table></body></html>
"#
        )
    }

    fn number(&self, number: &Number) -> String {
        let colour = match number.is_better() {
            Some(true) => "#187a3e",
            Some(false) => "#b3362b",
            None => FAINT,
        };
        let (title, shown) = (self.language.say(number.title), number.shown(self.language));
        let change = self.change(number);
        let change = if change.is_empty() { "&nbsp;" } else { &change };
        format!(
            r#"<td width="33%" valign="top" style="padding:10px 8px"><div style="color:{FAINT};font-size:13px">{title}</div><div style="font-size:22px;font-weight:700">{shown}</div><div style="color:{colour};font-size:13px">{change}</div></td>"#
        )
    }

    fn table(&self, table: &Table) -> String {
        let say = |word| self.language.say(word);
        let head = table.columns.map(|column| {
            format!(r#"<th align="right" width="96" style="padding:4px 0 4px 12px;color:{FAINT};font-size:12px;font-weight:400">{}</th>"#, say(column))
        });
        let rows = table.rows.iter().map(|(name, values)| {
            let cells = values.map(|value| {
                format!(r#"<td align="right" style="padding:5px 0 5px 12px;border-top:1px solid {LINE};white-space:nowrap">{}</td>"#, self.shown(value))
            });
            let name = escape(name);
            format!(r#"<tr><td style="padding:5px 0;border-top:1px solid {LINE};word-break:break-word">{name}</td>{}</tr>"#, cells.concat())
        });
        let (title, rows) = (say(table.title), rows.collect::<String>());
        format!(
            r#"<tr><td style="padding:12px 24px 4px"><table width="100%" cellpadding="0" cellspacing="0"><tr><th align="left" style="padding:4px 0;font-size:14px">{title}</th>{}</tr>{rows}</table></td></tr>
"#,
            head.concat()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::figures::Kind;

    fn figures() -> Figures {
        let number = |title, kind, value, change, is_worse| Number { title, kind, value, change, is_worse };
        Figures {
            numbers: vec![
                number(Word::Visitors, Kind::Count, Some(1_307.0), Some(0.307), false),
                number(Word::BounceRate, Kind::Share, Some(0.42), Some(0.05), true),
                number(Word::SessionDuration, Kind::Duration, Some(95.0), None, false),
            ],
            tables: vec![
                Table {
                    title: Word::Pages,
                    of: Word::Page,
                    columns: [Word::Visitors, Word::PageViews],
                    rows: vec![("/<script>alert(1)</script>".into(), [Some(900.0), Some(1_200.0)])],
                },
                Table {
                    title: Word::Countries,
                    of: Word::Country,
                    columns: [Word::Visitors, Word::Sessions],
                    rows: vec![],
                },
            ],
            complete_until: String::new(),
        }
    }

    fn report<'a>(figures: &'a Figures, period: &'a Period, language: Language) -> Report<'a> {
        Report {
            site: "shop",
            rhythm: Rhythm::Weekly,
            period,
            language,
            figures,
            is_test: false,
            dashboard: "https://stats.example/dashboard/?site=shop&range=a",
            unsubscribe: "https://stats.example/unsubscribe?token=1",
        }
    }

    #[test]
    fn a_report_is_the_same_in_text_and_in_html() {
        let (figures, period) = (figures(), Rhythm::Weekly.last_before("2026-03-09".parse().unwrap()));
        let report = report(&figures, &period, Language::English);
        assert_eq!(report.subject(), "shop: 1,307 visitors, 2 March 2026 – 8 March 2026");
        let expected = "Weekly report: shop
2 March 2026 – 8 March 2026

Visitors               1,307  +31%
Bounce rate              42%  +5%
Session duration      1m 35s

Pages
  /<script>alert(1)</script>                             900

Open the dashboard: https://stats.example/dashboard/?site=shop&range=a

You get this because somebody of this site put your address on its list.
Unsubscribe: https://stats.example/unsubscribe?token=1
";
        assert_eq!(report.text(), expected);
        let html = report.html();
        for there in [
            "1,307",
            "+31%",
            "#b3362b",
            "1m 35s",
            "/&lt;script&gt;",
            ">900<",
            "?site=shop&amp;range=a",
            "unsubscribe?token=1",
        ] {
            assert!(html.contains(there), "{there}: {html}");
        }
        assert!(!html.contains("<script") && !html.contains("Countries"), "{html}");
    }

    #[test]
    fn a_german_report_is_german_and_a_test_says_that_it_is_one() {
        let (figures, period) = (figures(), Rhythm::Monthly.last_before("2026-04-01".parse().unwrap()));
        let report = Report { rhythm: Rhythm::Monthly, is_test: true, ..report(&figures, &period, Language::German) };
        assert_eq!(report.subject(), "[Probe] shop: 1.307 Besucher, März 2026");
        assert!(report.text().starts_with("Monatsbericht: shop\nMärz 2026\n"), "{}", report.text());
        assert!(report.html().contains("Absprungrate"));
    }
}
