//! What an operator does and meets: mistakes, rights, checks of the lake, the cache.

mod bad_input;
mod lake_check;
mod memcached;
mod permissions;
