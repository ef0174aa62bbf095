//! Operating an installation: mistakes, permissions, checks of the lake, the cache.

mod bad_input;
mod directories;
mod lake_check;
mod memcached;
mod permissions;
