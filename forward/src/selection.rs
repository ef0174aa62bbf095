//! Which rows are for a destination: those of its site that its conditions choose and whose person was not erased.

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::and;
use engine::{Engine, RowFilter};
use lake::{DestinationSpec, Erasures, event_schema};

/// Chooses rows for a destination.
#[derive(Clone, Debug)]
pub struct Selection {
    site_id: String,
    conditions: Vec<RowFilter>,
}

impl Selection {
    /// Fails if a condition is none.
    pub async fn new(engine: &Engine, spec: &DestinationSpec) -> engine::Result<Self> {
        let mut conditions = Vec::new();
        if let Some(filter) = &spec.filter {
            conditions.push(engine.row_filter(&event_schema(), filter).await?);
        }
        if let Some(property) = &spec.consent {
            let property = property.replace('\'', "''");
            let condition = format!("json_get_bool(properties, '{property}')");
            conditions.push(engine.row_filter(&event_schema(), &condition).await?);
        }
        Ok(Self { site_id: spec.site_id.to_string(), conditions })
    }

    /// Which rows are chosen.
    pub(crate) fn chosen(&self, rows: &RecordBatch, erasures: &Erasures) -> anyhow::Result<BooleanArray> {
        let erased = erasures.covered_rows(rows);
        let sites = rows["site_id"].as_string::<i32>();
        let mut chosen: BooleanArray = (0..rows.num_rows())
            .map(|row| Some(sites.value(row) == self.site_id && !(erased.is_valid(row) && erased.value(row))))
            .collect();
        for condition in &self.conditions {
            // A condition may fail on a row that is not ours, such as a cast of another site's property.
            let ours = arrow::compute::filter_record_batch(rows, &chosen)?;
            let met = condition.met(&ours)?;
            let mut met = met.iter();
            let both: BooleanArray =
                chosen.iter().map(|ours| Some(ours == Some(true) && met.next().flatten() == Some(true))).collect();
            chosen = and(&chosen, &both)?;
        }
        Ok(chosen)
    }
}
