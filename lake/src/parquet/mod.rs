//! Reading and writing Parquet in an object store.

pub(crate) mod object_reader;
pub(crate) mod object_writer;
pub(crate) mod reader;
