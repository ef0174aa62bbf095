//! Operators of joins in the place of DataFusion's, where what is joined is known to be of a kind that costs less.

pub(crate) mod interval_join;
pub(crate) mod lookup_join;
