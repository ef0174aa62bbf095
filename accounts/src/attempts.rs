//! How often somebody may try. Pure: the time is passed in.
//!
//! Tries are counted by address of the person and of the client together, by each of them alone, and so more generously.
//! Whoever guesses is stopped; whoever would lock somebody out by guessing wrong needs many clients. Each process counts
//! for itself.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

/// How long a failure counts.
const WINDOW: TimeDelta = TimeDelta::minutes(15);

/// Failures within the window: of a person from one client, of a client, of a person.
const BOTH_MAX: usize = 10;
const CLIENT_MAX: usize = 50;
const PERSON_MAX: usize = 100;

/// What is counted at most. Beyond it the oldest are forgotten.
const KEYS_MAX: usize = 100_000;

/// Failures that count.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    failed_at: HashMap<String, Vec<DateTime<Utc>>>,
}

impl Attempts {
    /// Counts a try as failed, unless there were too many: then fails with how long to wait, in seconds.
    ///
    /// - `person`: whom somebody says he is, whether there is one or not.
    /// - `client`: where the request came from, if that is known.
    pub(crate) fn begin(&mut self, person: &str, client: Option<&str>, now: DateTime<Utc>) -> Result<(), u64> {
        let keys = keys(person, client);
        for (key, most) in &keys {
            let Some(failed_at) = self.failed_at.get_mut(key) else { continue };
            failed_at.retain(|at| now - *at < WINDOW);
            if failed_at.len() >= *most {
                let oldest = failed_at[failed_at.len() - most];
                return Err(u64::try_from((oldest + WINDOW - now).num_seconds()).unwrap_or(0) + 1);
            }
        }
        if self.failed_at.len() + keys.len() > KEYS_MAX {
            self.failed_at.retain(|_, failed_at| failed_at.last().is_some_and(|at| now - *at < WINDOW));
        }
        if self.failed_at.len() + keys.len() > KEYS_MAX {
            self.failed_at.clear();
        }
        for (key, _) in keys {
            self.failed_at.entry(key).or_default().push(now);
        }
        Ok(())
    }

    /// Says that the last try went well, so that it does not count, and the person's earlier ones from there do not either.
    pub(crate) fn succeeded(&mut self, person: &str, client: Option<&str>) {
        for (at, (key, _)) in keys(person, client).into_iter().enumerate() {
            match at {
                0 => drop(self.failed_at.remove(&key)),
                _ => drop(self.failed_at.get_mut(&key).and_then(Vec::pop)),
            }
        }
    }
}

fn keys(person: &str, client: Option<&str>) -> Vec<(String, usize)> {
    // Whoever sends very long ones shall not fill the memory.
    let person = blake3::hash(person.as_bytes()).to_hex();
    let both = format!("{person} {}", client.unwrap_or_default());
    let mut keys = vec![(both, BOTH_MAX), (person.to_string(), PERSON_MAX)];
    keys.extend(client.map(|client| (format!(" {client}"), CLIENT_MAX)));
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn who_guesses_is_stopped_and_may_try_again_later() {
        let mut attempts = Attempts::default();
        for second in 0..10 {
            assert_eq!(attempts.begin("ada", Some("1.2.3.4"), at(second)), Ok(()));
        }
        assert_eq!(attempts.begin("ada", Some("1.2.3.4"), at(10)), Err(891));
        assert_eq!(attempts.begin("ada", Some("5.6.7.8"), at(10)), Ok(()), "from elsewhere she may");
        assert_eq!(attempts.begin("bob", Some("1.2.3.4"), at(10)), Ok(()), "and others from there");
        assert_eq!(attempts.begin("ada", Some("1.2.3.4"), at(901)), Ok(()));
    }

    #[test]
    fn a_client_may_not_try_everybody_nor_many_clients_one() {
        let mut attempts = Attempts::default();
        let by_client = (0..60).filter(|n| attempts.begin(&format!("p{n}"), Some("1.2.3.4"), at(0)).is_ok()).count();
        assert_eq!(by_client, 50);
        let by_person = (0..120).filter(|n| attempts.begin("ada", Some(&format!("c{n}")), at(0)).is_ok()).count();
        assert_eq!(by_person, 100);
    }

    #[test]
    fn who_signs_in_has_not_failed() {
        let mut attempts = Attempts::default();
        for second in 0..200 {
            attempts.begin("ada", Some("1.2.3.4"), at(second)).unwrap();
            attempts.succeeded("ada", Some("1.2.3.4"));
        }
    }
}
