//! How many clients may be connected: of all, and of one user, so that one key does not keep all others out.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Places of clients.
#[derive(Debug)]
pub(crate) struct Seats {
    seats_max: usize,
    taken: Mutex<HashMap<String, usize>>,
}

/// One place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    user: String,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// As many clients are connected as may.
    All,
    /// The user has as many as are left for others.
    Own,
}

impl Seats {
    pub(crate) fn new(seats_max: usize) -> Arc<Self> {
        Arc::new(Self { seats_max, taken: Mutex::default() })
    }

    /// A place for one more client of a user.
    ///
    /// - `is_bound`: whether the user has to leave as many places free as he takes.
    pub(crate) fn take(self: &Arc<Self>, user: &str, is_bound: bool) -> Result<Seat, Full> {
        let mut taken = self.taken.lock();
        let own = taken.get(user).copied().unwrap_or(0);
        let Some(left) = self.seats_max.checked_sub(taken.values().sum::<usize>() + 1) else { return Err(Full::All) };
        // The first one takes nothing from anybody who is not there.
        if is_bound && own > 0 && own + 1 > left {
            return Err(Full::Own);
        }
        *taken.entry(user.to_owned()).or_default() += 1;
        Ok(Seat { seats: self.clone(), user: user.to_owned() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock();
        if let Some(own) = taken.get_mut(&self.user) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(seats: &Arc<Seats>, user: &str, is_bound: bool) -> (Vec<Seat>, Full) {
        let mut own = Vec::new();
        loop {
            match seats.take(user, is_bound) {
                Ok(seat) => own.push(seat),
                Err(full) => return (own, full),
            }
        }
    }

    #[test]
    fn a_key_takes_no_more_places_than_it_leaves() {
        let seats = Seats::new(12);
        let (one, full) = take_all(&seats, "one", true);
        assert_eq!((one.len(), full), (6, Full::Own));
        let (two, full) = take_all(&seats, "two", true);
        assert_eq!((two.len(), full), (3, Full::Own));
        let (whole, full) = take_all(&seats, "dewpond", false);
        assert_eq!((whole.len(), full), (3, Full::All));
        drop((one, two, whole));
        assert!(seats.taken.lock().is_empty());
        assert_eq!(take_all(&Seats::new(1), "one", true).0.len(), 1);
    }
}
