//! What a query would answer, for protocols whose clients want to know before they give its parameters; and what a protocol
//! adds to a session for its clients.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::{MemTable, MemorySchemaProvider, SchemaProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{LogicalPlan, ScalarUDF};
use datafusion::scalar::ScalarValue;

use crate::error::{EngineError, Result};
use crate::params::Param;
use crate::session::SqlSession;
use crate::sql;

/// Parameters of a query at most.
const PARAMETERS_MAX: usize = 1_000;

/// What a query would answer.
#[derive(Clone, Debug)]
pub struct Description {
    /// The types of `$1`, `$2`, …: as the client gave them, or else as what they are compared with, or else text.
    pub parameters: Vec<DataType>,
    /// The columns of the answer.
    pub schema: SchemaRef,
    /// The tables that it reads, as the query names them, each with its schema if it names one.
    pub tables: BTreeSet<String>,
}

impl SqlSession {
    /// Plans a query with the parameters `$1`, `$2`, … without their values.
    ///
    /// - `given`: types that the client gives to the first parameters.
    /// - `others`: the values of parameters that have names.
    ///
    /// Fails as [`plan`](Self::plan) does.
    pub async fn describe(
        &self,
        sql: &str,
        given: &[Option<DataType>],
        others: &[(String, Param)],
    ) -> Result<Description> {
        let plan = self.plan_unbound(sql).await?;
        let inferred = sql::parameter_types(&plan)?;
        let highest = inferred.keys().filter_map(|name| name.parse::<usize>().ok()).max().unwrap_or(0);
        let count = highest.max(given.len());
        if count > PARAMETERS_MAX {
            let message = format!("a query has at most {PARAMETERS_MAX} parameters: give a list as one array");
            return Err(EngineError::Query { message, line: None, column: None });
        }
        let parameters: Vec<DataType> = (1..=count)
            .map(|number| {
                let given = given.get(number - 1).cloned().flatten();
                let inferred = || inferred.get(&number.to_string()).cloned().flatten();
                given.or_else(inferred).unwrap_or(DataType::Utf8)
            })
            .collect();
        let mut values = others.to_vec();
        for (place, data_type) in parameters.iter().enumerate() {
            values.push(((place + 1).to_string(), Param::Typed(ScalarValue::try_new_null(data_type)?)));
        }
        let mut tables = BTreeSet::new();
        plan.apply_with_subqueries(|plan| {
            if let LogicalPlan::TableScan(scan) = plan {
                tables.insert(scan.table_name.to_string());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let plan = sql::bind(plan, &values)?;
        Ok(Description { parameters, schema: Arc::new(plan.schema().as_arrow().clone()), tables })
    }

    /// The names of all functions, for whoever completes them.
    pub fn function_names(&self) -> Vec<String> {
        let mut names = self.functions();
        names.sort();
        names.dedup();
        names
    }

    /// Adds a schema with tables that are in memory.
    pub fn add_schema(&self, name: &str, tables: &[(String, RecordBatch)]) -> Result<()> {
        let schema = MemorySchemaProvider::new();
        for (name, rows) in tables {
            let table = MemTable::try_new(rows.schema(), vec![vec![rows.clone()]])?;
            schema.register_table(name.clone(), Arc::new(table))?;
        }
        self.add_schema_of(name, Arc::new(schema))
    }

    /// Adds a function, in the place of the one that has its name.
    pub fn add_function(&self, function: ScalarUDF) {
        self.register(function);
    }
}
