//! Wire protocols: one module each, all with the same result, [`Event`].
//!
//! A protocol is a pure function from a body to events and rejections. It knows neither HTTP nor the store.

mod field;
mod items;
pub mod native;

use std::sync::Arc;

use lake::Event;

use crate::error::Rejection;
use crate::event_time::Window;

/// What is known of a request's events besides what they say themselves.
#[derive(Clone, Debug)]
pub struct Context {
    /// The site they belong to, by the write key.
    pub site_id: Arc<str>,
    /// When they arrived, in microseconds since the epoch.
    pub received_at_us: i64,
    /// The user agent of the request. One that an event names itself comes first.
    pub user_agent: Option<String>,
    /// Which times they may carry.
    pub window: Window,
}

/// The events of one body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// The good ones, in the order they were sent.
    pub events: Vec<Event>,
    /// The bad ones.
    pub rejected: Vec<Rejection>,
}
