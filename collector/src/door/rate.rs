//! Rate limits: events per sender, requests per address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};
use lake::Site;
use parking_lot::RwLock;

use crate::settings::Settings;
use intake::IngestError;
use intake::protocol::Sender;

/// Unused allowance is saved for this long, so that traffic may come in bursts.
const BURST_S: u32 = 10;

/// The number of addresses to remember. Beyond it, those that have not sent recently are forgotten.
const ADDRESSES_MAX: usize = 100_000;

/// The limits of this collector, and how much of them is used. Several collectors together allow several times as
/// much.
pub(crate) struct Rates {
    events_per_second_max: Option<NonZeroU32>,
    /// By sender. Only senders that belong to a site get here, so their number is bounded.
    senders: RwLock<HashMap<String, Allowance>>,
    addresses: Option<DefaultKeyedRateLimiter<IpAddr>>,
    clock: DefaultClock,
}

#[derive(Clone)]
struct Allowance {
    per_second: NonZeroU32,
    limiter: Arc<DefaultDirectRateLimiter>,
}

impl Rates {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            events_per_second_max: settings.key_events_per_second_max,
            senders: RwLock::default(),
            addresses: settings.ip_requests_per_second_max.map(|max| RateLimiter::keyed(quota(max))),
            clock: DefaultClock::default(),
        }
    }

    /// Counts a request of an address.
    pub(crate) fn check_ip(&self, ip: Option<IpAddr>) -> Result<(), IngestError> {
        let (Some(addresses), Some(ip)) = (&self.addresses, ip) else { return Ok(()) };
        if addresses.len() > ADDRESSES_MAX {
            addresses.retain_recent();
        }
        addresses.check_key(&network(ip)).map_err(|until| self.too_often("too many requests from this address", &until))
    }

    /// Counts events of a sender.
    pub(crate) fn check_sender(&self, sender: &Sender, site: &Site, events: usize) -> Result<(), IngestError> {
        let Some(per_second) = site.settings.events_per_second_max.or(self.events_per_second_max) else {
            return Ok(());
        };
        let Some(events) = u32::try_from(events).ok().and_then(NonZeroU32::new) else { return Ok(()) };
        match self.allowance(sender, site, per_second).limiter.check_n(events) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => Err(self.too_often("too many events with this key", &until)),
            Err(capacity) => Err(IngestError::too_large(format!(
                "this key may send {per_second} events a second, and at most {} at once; send smaller batches",
                capacity.0
            ))),
        }
    }

    fn allowance(&self, sender: &Sender, site: &Site, per_second: NonZeroU32) -> Allowance {
        let name = match sender {
            // A prefix tells keys apart without keeping the key itself.
            Sender::Key(key) => key.chars().take(16).collect(),
            // A domain has many spellings.
            Sender::Domain(_) => format!("site {}", site.site_id),
        };
        let known = self.senders.read().get(&name).filter(|known| known.per_second == per_second).cloned();
        known.unwrap_or_else(|| {
            let limiter = Arc::new(RateLimiter::direct(quota(per_second)));
            let fresh = Allowance { per_second, limiter };
            let mut senders = self.senders.write();
            let entry = senders.entry(name).or_insert_with(|| fresh.clone());
            if entry.per_second != per_second {
                *entry = fresh;
            }
            entry.clone()
        })
    }

    fn too_often<T: governor::clock::Reference>(&self, reason: &str, until: &NotUntil<T>) -> IngestError
    where
        DefaultClock: Clock<Instant = T>,
    {
        let wait = until.wait_time_from(self.clock.now()).max(Duration::from_millis(1));
        IngestError::TooOften { reason: reason.into(), retry_after_s: wait.as_secs() + 1 }
    }
}

fn quota(per_second: NonZeroU32) -> Quota {
    let burst = NonZeroU32::new(per_second.get().saturating_mul(BURST_S)).unwrap_or(per_second);
    Quota::per_second(per_second).allow_burst(burst)
}

/// What counts as one address: a whole /64 of IPv6, because each customer has that many.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(per_second: u32) -> Rates {
        let max = NonZeroU32::new(per_second);
        let settings =
            Settings { key_events_per_second_max: max, ip_requests_per_second_max: max, ..Settings::default() };
        Rates::new(&settings)
    }

    fn site(per_second: Option<u32>) -> Site {
        let mut site: Site =
            serde_json::from_str(r#"{"site_id":"shop","created_at":"2026-01-01T00:00:00Z","keys":[]}"#).unwrap();
        site.settings.events_per_second_max = per_second.and_then(NonZeroU32::new);
        site
    }

    fn key(key: &str) -> Sender {
        Sender::Key(key.into())
    }

    #[test]
    fn a_key_that_has_used_its_burst_is_told_when_to_come_back() {
        let rates = rates(1);
        rates.check_sender(&key("a"), &site(None), 10).unwrap();
        let error = rates.check_sender(&key("a"), &site(None), 5).unwrap_err();
        let IngestError::TooOften { retry_after_s, .. } = error else { panic!("{error}") };
        assert!((4..=6).contains(&retry_after_s), "{retry_after_s}");
        rates.check_sender(&key("b"), &site(None), 10).unwrap();
        rates.check_sender(&Sender::Domain("a.example".into()), &site(None), 10).unwrap();
        let spelled = rates.check_sender(&Sender::Domain("A.Example".into()), &site(None), 1);
        assert!(spelled.is_err(), "another spelling is not another sender");
    }

    #[test]
    fn a_batch_that_can_never_pass_is_too_large() {
        let error = rates(1).check_sender(&key("a"), &site(None), 11).unwrap_err();
        assert!(matches!(error, IngestError::TooLarge { .. }), "{error}");
    }

    #[test]
    fn a_sites_own_limit_comes_first_and_a_new_one_counts_at_once() {
        let rates = rates(1);
        rates.check_sender(&key("a"), &site(Some(100)), 1_000).unwrap();
        assert!(rates.check_sender(&key("a"), &site(Some(100)), 1_000).is_err());
        rates.check_sender(&key("a"), &site(Some(200)), 2_000).unwrap();
    }

    #[test]
    fn an_address_is_one_of_v4_and_a_network_of_v6() {
        let rates = rates(1);
        let send = |ip: &str| rates.check_ip(Some(ip.parse().unwrap()));
        for last in 0..10 {
            send("192.0.2.1").unwrap();
            send(&format!("2001:db8::{last}")).unwrap();
        }
        assert!(send("192.0.2.1").is_err() && send("2001:db8::99").is_err());
        assert!(send("192.0.2.2").is_ok() && send("2001:db8:0:1::").is_ok());
    }

    #[test]
    fn without_limits_nothing_is_counted() {
        let rates = Rates::new(&Settings::default());
        for _ in 0..100_000 {
            rates.check_ip(Some([192, 0, 2, 1].into())).unwrap();
            rates.check_sender(&key("a"), &site(None), 1_000).unwrap();
        }
    }
}
