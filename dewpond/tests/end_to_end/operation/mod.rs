//! Operating an installation: mistakes, permissions, checks of the lake, the cache, stores of others.

mod bad_input;
mod directories;
mod lake_check;
mod memcached;
mod permissions;
mod stores;
