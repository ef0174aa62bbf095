//! Times by the calendar: a date, mostly with a time of day, sometimes with a zone.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::Unreadable;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Names of UTC.
const UTC: [&str; 5] = ["z", "utc", "gmt", "etc/utc", "etc/gmt"];

const S_PER_HOUR: i64 = 3_600;
const S_PER_MINUTE: i64 = 60;

/// Reads a date with or without a time of day.
pub(crate) fn read(text: &str) -> Result<DateTime<Utc>, Unreadable> {
    let mut rest = Rest(text);
    let date = read_date(&mut rest)?;
    let time = match starts_time(&mut rest, &date) {
        true => read_time(&mut rest)?,
        false => TimeDelta::zero(),
    };
    let zone = read_zone(&mut rest, date.year.is_none())?;
    let year = date.year.or(zone.year).ok_or(Unreadable::NoTime)?;
    let day = NaiveDate::from_ymd_opt(year, date.month, date.day).ok_or(Unreadable::NoSuchTime)?;
    let local = day.and_time(chrono::NaiveTime::MIN).and_utc();
    local
        .checked_add_signed(time)
        .and_then(|local| local.checked_sub_signed(TimeDelta::seconds(zone.offset_s)))
        .ok_or(Unreadable::NoSuchTime)
}

/// Reads the digits of a date, or of a date and a time, without anything between them. As a count from 1970 those of 1970
/// to 2100 would have no unit: eight digits are too few for seconds, and these fourteen lie beyond all milliseconds.
pub(crate) fn read_digits(text: &str) -> Option<DateTime<Utc>> {
    if !matches!(text.len(), 8 | 14) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| text[from..to].parse::<u32>().ok();
    let year = part(0, 4)?;
    let day = NaiveDate::from_ymd_opt(year as i32, part(4, 6)?, part(6, 8)?)?;
    let time = if text.len() == 14 { (part(8, 10)?, part(10, 12)?, part(12, 14)?) } else { (0, 0, 0) };
    let at = day.and_hms_opt(time.0, time.1, time.2)?;
    (1970..=2100).contains(&year).then(|| at.and_utc())
}

struct Date {
    /// Some programs write it at the end, behind the time and the zone.
    year: Option<i32>,
    month: u32,
    day: u32,
}

fn read_date(rest: &mut Rest) -> Result<Date, Unreadable> {
    if let Some(word) = rest.peek_word()
        && position(&WEEKDAYS, word).is_some()
    {
        rest.skip(word.len());
        rest.eat(',');
        rest.skip_spaces();
    }
    if let Some(word) = rest.peek_word() {
        // Mar 1, 2026 or Mar  1 12:00:00
        let month = position(&MONTHS, word).ok_or(Unreadable::NoTime)?;
        rest.skip(word.len());
        rest.skip_spaces();
        let day = rest.number(1..=2).ok_or(Unreadable::NoTime)?;
        rest.eat(',');
        let after = *rest;
        rest.skip_spaces();
        let year = rest.number(4..=4).map(|year| year as i32);
        if year.is_none() {
            *rest = after;
        }
        return Ok(Date { year, month, day });
    }
    match rest.digits() {
        8 => {
            let digits = rest.number(8..=8).ok_or(Unreadable::NoTime)?;
            Ok(Date { year: Some((digits / 10_000) as i32), month: digits / 100 % 100, day: digits % 100 })
        }
        4 => {
            let year = rest.number(4..=4).map(|year| year as i32);
            let separator = rest.eat_any(&['-', '/', '.']).ok_or(Unreadable::NoTime)?;
            let month = rest.number(1..=2).ok_or(Unreadable::NoTime)?;
            let day = rest.eat(separator).then(|| rest.number(1..=2)).flatten().ok_or(Unreadable::NoTime)?;
            Ok(Date { year, month, day })
        }
        1 | 2 => {
            let day = rest.number(1..=2).ok_or(Unreadable::NoTime)?;
            let separator = rest.eat_any(&['-', '/', '.', ' ']).ok_or(Unreadable::NoTime)?;
            let Some(word) = rest.peek_word() else {
                let is_date = rest.number(1..=2).is_some() && rest.eat(separator) && rest.number(2..=4).is_some();
                return Err(if is_date { Unreadable::DayOrMonth } else { Unreadable::NoTime });
            };
            let month = position(&MONTHS, word).ok_or(Unreadable::NoTime)?;
            rest.skip(word.len());
            let year = rest.eat(separator).then(|| rest.number(4..=4)).flatten().ok_or(Unreadable::NoTime)?;
            Ok(Date { year: Some(year as i32), month, day })
        }
        _ => Err(Unreadable::NoTime),
    }
}

/// Whether a time of day follows, and skips what separates it from the date.
fn starts_time(rest: &mut Rest, date: &Date) -> bool {
    if rest.0.is_empty() {
        return false;
    }
    if rest.eat_any(&['T', 't', ':']).is_some() {
        return true;
    }
    let before = *rest;
    rest.eat(',');
    let is_time = rest.skip_spaces() && rest.digits() > 0;
    if !is_time {
        *rest = before;
    }
    is_time || date.year.is_none()
}

fn read_time(rest: &mut Rest) -> Result<TimeDelta, Unreadable> {
    let part = |rest: &mut Rest| rest.number(2..=2).ok_or(Unreadable::NoTime);
    let (mut hour, minute, second, has_seconds) = match rest.digits() {
        digits @ (4 | 6) => {
            let all = parts_of(rest.number(4..=6).ok_or(Unreadable::NoTime)?, digits);
            (all[0], all[1], all[2], digits == 6)
        }
        1 | 2 => {
            let hour = rest.number(1..=2).ok_or(Unreadable::NoTime)?;
            let minute = if rest.eat(':') { Some(part(rest)?) } else { None };
            let second = if minute.is_some() && rest.eat(':') { Some(part(rest)?) } else { None };
            (hour, minute.unwrap_or(0), second.unwrap_or(0), second.is_some())
        }
        _ => return Err(Unreadable::NoTime),
    };
    let mut us = 0;
    if has_seconds && rest.eat_any(&['.', ',']).is_some() {
        us = rest.fraction_us().ok_or(Unreadable::NoTime)?;
    }
    let before = *rest;
    rest.skip_spaces();
    match rest.peek_word().map(str::to_ascii_lowercase).as_deref() {
        Some(half @ ("am" | "pm")) => {
            rest.skip(2);
            if !(1..=12).contains(&hour) {
                return Err(Unreadable::NoSuchTime);
            }
            hour = hour % 12 + if half == "pm" { 12 } else { 0 };
        }
        _ => *rest = before,
    }
    // ISO 8601 ends a day at 24:00, and a leap second is the sixtieth.
    let is_end_of_day = (hour, minute, second, us) == (24, 0, 0, 0);
    if (hour > 23 && !is_end_of_day) || minute > 59 || second > 60 {
        return Err(Unreadable::NoSuchTime);
    }
    let seconds = i64::from(hour) * S_PER_HOUR + i64::from(minute) * S_PER_MINUTE + i64::from(second);
    Ok(TimeDelta::seconds(seconds) + TimeDelta::microseconds(us))
}

#[derive(Default)]
struct Zone {
    offset_s: i64,
    year: Option<i32>,
}

/// Reads the rest of the text: a zone, what some programs add to it, and the year if it comes last.
fn read_zone(rest: &mut Rest, year_comes_last: bool) -> Result<Zone, Unreadable> {
    let mut zone = Zone::default();
    // A name beside an offset or UTC repeats it, and by itself says too little.
    let (mut is_known, mut name) = (false, None);
    loop {
        let has_space = rest.skip_spaces();
        if rest.0.is_empty() {
            break;
        }
        if year_comes_last && zone.year.is_none() && rest.digits() == 4 {
            zone.year = rest.number(4..=4).map(|year| year as i32);
        } else if let Some(sign) = rest.eat_any(&['+', '-', '\u{2212}']) {
            zone.offset_s = rest.offset_s()? * if sign == '+' { 1 } else { -1 };
            is_known = true;
        } else if has_space && matches!(rest.digits(), 2 | 4) {
            // In an address a plus is a space.
            zone.offset_s = rest.offset_s()?;
            is_known = true;
        } else if rest.0.starts_with("m=") && is_known {
            // Go's monotonic clock.
            break;
        } else if let Some((inside, after)) = rest.bracketed() {
            name = name.or(Some(inside).filter(|_| !inside.contains('=')));
            *rest = after;
        } else {
            let word = rest.zone_name().ok_or(Unreadable::NoTime)?;
            rest.skip(word.len());
            let is_name = word.contains('/') || word.bytes().all(|byte| byte.is_ascii_uppercase());
            match UTC.contains(&&*word.to_ascii_lowercase()) {
                true => is_known = true,
                false if has_space && is_name => name = name.or(Some(word)),
                false => return Err(Unreadable::NoTime),
            }
        }
    }
    match name {
        Some(name) if !is_known => Err(match name.len() <= 40 && !name.contains(' ') {
            true => Unreadable::ZoneName(name.to_owned()),
            false => Unreadable::NoTime,
        }),
        _ => Ok(zone),
    }
}

/// Hours, minutes and seconds of a number whose four or six digits they are.
fn parts_of(number: u32, digits: usize) -> [u32; 3] {
    let all = if digits == 6 { number } else { number * 100 };
    [all / 10_000, all / 100 % 100, all % 100]
}

/// The number, from 1, of a name that a word is or begins, with at least three letters of it.
fn position(names: &[&str], word: &str) -> Option<u32> {
    let word = word.to_ascii_lowercase();
    let at = names.iter().position(|name| word.len() >= 3 && name.starts_with(&*word))?;
    Some(at as u32 + 1)
}

/// What has not been read yet.
#[derive(Clone, Copy)]
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip(&mut self, bytes: usize) {
        self.0 = &self.0[bytes..];
    }

    fn eat(&mut self, char: char) -> bool {
        self.eat_any(&[char]).is_some()
    }

    fn eat_any(&mut self, chars: &[char]) -> Option<char> {
        let first = self.0.chars().next().filter(|first| chars.contains(first))?;
        self.skip(first.len_utf8());
        Some(first)
    }

    fn skip_spaces(&mut self) -> bool {
        let before = self.0.len();
        self.0 = self.0.trim_start();
        self.0.len() < before
    }

    /// How many digits come next.
    fn digits(&self) -> usize {
        self.0.bytes().take_while(u8::is_ascii_digit).count()
    }

    /// The number that comes next, if it has so many digits.
    fn number(&mut self, digits: std::ops::RangeInclusive<usize>) -> Option<u32> {
        let found = self.digits();
        let number = digits.contains(&found).then(|| self.0[..found].parse().ok()).flatten()?;
        self.skip(found);
        Some(number)
    }

    fn fraction_us(&mut self) -> Option<i64> {
        let found = self.digits();
        let kept = &self.0[..found.min(6)];
        let us = kept.parse::<i64>().ok()? * 10_i64.pow(6 - kept.len() as u32);
        self.skip(found);
        Some(us)
    }

    /// The offset that comes next, without its sign: hours, minutes and seconds, with or without colons.
    fn offset_s(&mut self) -> Result<i64, Unreadable> {
        let mut parts = [0, 0, 0];
        match self.digits() {
            digits @ (4 | 6) => parts = parts_of(self.number(4..=6).ok_or(Unreadable::NoTime)?, digits),
            1 | 2 => {
                parts[0] = self.number(1..=2).ok_or(Unreadable::NoTime)?;
                for part in &mut parts[1..] {
                    if !self.eat(':') {
                        break;
                    }
                    *part = self.number(2..=2).ok_or(Unreadable::NoTime)?;
                }
            }
            _ => return Err(Unreadable::NoTime),
        }
        let [hours, minutes, seconds] = parts.map(i64::from);
        if hours > 23 || minutes > 59 || seconds > 59 {
            return Err(Unreadable::NoSuchTime);
        }
        Ok(hours * S_PER_HOUR + minutes * S_PER_MINUTE + seconds)
    }

    /// The letters that come next.
    fn peek_word(&self) -> Option<&'a str> {
        let length = self.0.bytes().take_while(u8::is_ascii_alphabetic).count();
        (length > 0).then(|| &self.0[..length])
    }

    /// A zone's name that comes next, such as CET or Europe/Berlin.
    fn zone_name(&self) -> Option<&'a str> {
        let is_inside = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'/' | b'_');
        let length = self.0.bytes().take_while(is_inside).count();
        (length > 0).then(|| &self.0[..length])
    }

    /// What is in the brackets that come next, and what follows them.
    fn bracketed(&self) -> Option<(&'a str, Self)> {
        let close = match self.0.as_bytes().first()? {
            b'[' => ']',
            b'(' => ')',
            _ => return None,
        };
        let (inside, after) = self.0[1..].split_once(close)?;
        Some((inside, Self(after)))
    }
}
