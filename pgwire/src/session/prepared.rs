//! A statement that was read, and planned if it is a query.

use std::sync::Arc;

use crate::copy::CopyForm;
use crate::format::types::ValueType;
use crate::messages::{ColumnHeader, Format, format_of};
use crate::reader::Query;
use crate::statement::Kind;

/// A statement, ready to be run.
pub(super) enum Prepared {
    Empty,
    Query(Query),
    Copy(Query, CopyForm),
    /// A cursor's name and its query.
    Declare(String, Arc<Prepared>),
    Command(Kind),
}

impl Prepared {
    pub(super) fn parameters(&self) -> &[ValueType] {
        match self {
            Self::Query(query) | Self::Copy(query, _) => &query.parameters,
            Self::Declare(_, query) => query.parameters(),
            Self::Empty | Self::Command(_) => &[],
        }
    }

    /// The columns of its rows, if it has rows. Those of FETCH are its cursor's.
    pub(super) fn columns(&self, formats: &[Format]) -> Option<Vec<ColumnHeader>> {
        match self {
            Self::Query(query) => {
                let fields = query.schema.fields().iter().enumerate();
                let columns = fields.map(|(place, field)| {
                    let of = ValueType::of_arrow(field.data_type());
                    ColumnHeader {
                        name: field.name().clone(),
                        type_oid: of.oid(),
                        type_bytes: of.bytes(),
                        format: format_of(formats, place).unwrap_or_default(),
                    }
                });
                Some(columns.collect())
            }
            Self::Command(Kind::Show(name)) => Some(super::show_columns(name, formats)),
            Self::Empty | Self::Copy(..) | Self::Declare(..) | Self::Command(_) => None,
        }
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Query(query) | Self::Copy(query, _) => query.bytes(),
            Self::Declare(_, query) => query.bytes(),
            Self::Empty | Self::Command(_) => 256,
        }
    }
}
