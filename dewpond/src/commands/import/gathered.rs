//! What one thread makes of some thousand rows: columns of events, and what is to be said of the others.

use std::collections::HashMap;

use intake::history::{Content, Row, nth_id};
use lake::EventColumns;

use super::nth::Nth;
use super::summary::Summary;

/// A row that is refused.
pub(super) struct Refused {
    pub(super) reason: String,
    /// What may be kept of it.
    pub(super) kept: String,
}

/// What became of rows that follow each other in a file.
pub(super) struct Gathered {
    /// None are kept in a dry run.
    pub(super) events: EventColumns,
    /// The rows of `events` whose id is made of what they say, and the number of each among its equals in these.
    contents: Vec<(usize, Content, u64)>,
    equals: HashMap<Content, u64>,
    /// Rows that are refused, with their numbers.
    pub(super) refused: Vec<(u64, Refused)>,
    pub(super) summary: Summary,
}

impl Gathered {
    pub(super) fn new(is_dry: bool) -> Self {
        Self {
            events: EventColumns::default(),
            contents: vec![],
            equals: HashMap::new(),
            refused: vec![],
            summary: Summary::new(is_dry),
        }
    }

    /// - `number`: of the row in its file.
    pub(super) fn add(&mut self, number: u64, row: Result<Row<'_>, Refused>) {
        match row {
            Ok(Row::Event(mut event, content)) => {
                if let Some(content) = content {
                    let nth = self.equals.entry(content).or_default();
                    *nth += 1;
                    event.event_id = nth_id(&content, *nth);
                    self.contents.push((self.events.len(), content, *nth));
                }
                self.summary.accepted(&event);
                if !self.summary.is_dry {
                    self.events.push(&event);
                }
            }
            Ok(Row::LeftOut(what)) => self.summary.left_out(&what),
            Ok(Row::OfOtherSite) => self.summary.of_other_sites += 1,
            Err(refused) => {
                self.summary.refused(&refused.reason);
                self.refused.push((number, refused));
            }
        }
    }

    /// Goes on with the numbers of equal records where the rows before these left off.
    pub(super) fn number_on(&mut self, nth: &mut Nth) {
        for (row, content, here) in self.contents.drain(..) {
            let in_file = nth.of(&content);
            if in_file != here && !self.summary.is_dry {
                self.events.set_id(row, nth_id(&content, in_file));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lake::{Event, RawParts};

    use super::*;

    #[test]
    fn equal_records_are_numbered_on_from_thousand_to_thousand() {
        let content = |n: u8| [n; 32];
        let gather = |contents: &[u8]| {
            let mut gathered = Gathered::new(false);
            for (n, of) in contents.iter().enumerate() {
                let event = Event { site_id: "shop".into(), name: "a".into(), ..Event::default() };
                gathered.add(n as u64, Ok(Row::Event(Box::new(event), Some(content(*of)))));
            }
            gathered
        };
        let (mut nth, mut all) = (Nth::default(), RawParts::default());
        for contents in [&[1, 2, 1][..], &[1, 3], &[2, 1]] {
            let mut gathered = gather(contents);
            gathered.number_on(&mut nth);
            all.add(gathered.events);
        }
        // Seven records, of which no two have the same id.
        assert_eq!(all.len(), 7);
        let mut known = RawParts::default();
        for (of, nths) in [(1, 4), (2, 2), (3, 1)] {
            for nth in 1..=nths {
                let mut events = EventColumns::default();
                let event_id = nth_id(&content(of), nth);
                events.push(&Event { event_id, site_id: "shop".into(), ..Event::default() });
                known.add(events);
            }
        }
        let mut again = gather(&[1, 2, 1, 1, 3, 2, 1]);
        again.number_on(&mut Nth::default());
        known.add(again.events);
        assert_eq!(known.len(), 7, "the ids are those of one pass over all records");
    }

    #[test]
    fn what_is_no_event_is_counted_and_kept_apart() {
        let mut gathered = Gathered::new(true);
        gathered.add(1, Ok(Row::OfOtherSite));
        gathered.add(2, Ok(Row::LeftOut("pings".into())));
        gathered.add(3, Err(Refused { reason: "no name".into(), kept: String::new() }));
        gathered.add(4, Ok(Row::Event(Box::default(), None)));
        let Gathered { events, refused, summary, .. } = gathered;
        assert!(events.is_empty(), "nothing is written in a dry run");
        assert_eq!(refused.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [3]);
        assert_eq!((summary.accepted, summary.refused, summary.of_other_sites), (1, 1, 1));
    }
}
