//! Operating an installation: mistakes, permissions, checks of the lake, the cache, stores of others, lakes of organisations' own.

mod bad_input;
mod directories;
mod lake_check;
mod memcached;
mod own_lake;
mod permissions;
mod stores;
