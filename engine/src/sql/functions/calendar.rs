//! When the hour, day, week, month, quarter or year of a time began, as a time or as a date.
//!
//! Nobody writes it: it takes the place of `date_trunc('month', time)`, of `CAST(time AS DATE)` and of both together, for which
//! DataFusion 55.2 and arrow 59.3 ask the calendar for each row. Times that follow each other are mostly of one day, because
//! files of events have one each. See the rule [`calendar`](crate::sql::rules).

use std::sync::Arc;

use chrono::{Datelike, NaiveDate, TimeDelta};
use datafusion::arrow::array::{Array, AsArray, Date32Array, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{Result, exec_datafusion_err, plan_err};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::columns::of_columns;
use super::times::DAY_US;
use crate::sql::zone::SESSION_ZONE;

const HOUR_US: i64 = DAY_US / 24;

/// What begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::sql) enum Unit {
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

/// What its begin is told as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::sql) enum Told {
    Time,
    Date,
}

impl Unit {
    const ALL: [Self; 6] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];

    /// By the name that `date_trunc` knows it by.
    pub(in crate::sql) fn named(name: &str) -> Option<Self> {
        let is_it = |unit: &Self| {
            let own = match unit {
                Self::Hour => "hour",
                Self::Day => "day",
                Self::Week => "week",
                Self::Month => "month",
                Self::Quarter => "quarter",
                Self::Year => "year",
            };
            own.eq_ignore_ascii_case(name)
        };
        Self::ALL.into_iter().find(is_it)
    }

    /// The first date of that which has a day in it; `None` beyond the calendar.
    ///
    /// - `day`: days since 1970.
    fn first_date(self, day: i64) -> Option<NaiveDate> {
        let date = NaiveDate::default().checked_add_signed(TimeDelta::try_days(day)?)?;
        match self {
            Self::Hour | Self::Day => Some(date),
            Self::Week => date.checked_sub_signed(TimeDelta::days(i64::from(date.weekday().num_days_from_monday()))),
            Self::Month => date.with_day(1),
            Self::Quarter => date.with_day(1)?.with_month0(date.month0() / 3 * 3),
            Self::Year => date.with_ordinal(1),
        }
    }

    /// The date of the begin, as days since 1970.
    fn first_day(self, us: i64) -> Result<i32> {
        let date = self.first_date(us.div_euclid(DAY_US));
        let date = date.ok_or_else(|| exec_datafusion_err!("the time {us} µs is beyond the calendar"))?;
        Ok(Date32Type::from_naive_date(date))
    }

    fn dates(self, times: &TimestampMicrosecondArray) -> Result<Date32Array> {
        let days = of_each(times, DAY_US, |us| self.first_day(us))?;
        Ok(Date32Array::new(days.into(), times.nulls().cloned()))
    }

    fn begins(self, times: &TimestampMicrosecondArray) -> Result<TimestampMicrosecondArray> {
        let begins_us = match self {
            Self::Hour => of_each(times, HOUR_US, |us| self.first_day(us).map(|_| us - us.rem_euclid(HOUR_US)))?,
            _ => of_each(times, DAY_US, |us| self.first_day(us).map(|day| i64::from(day) * DAY_US))?,
        };
        let begins = TimestampMicrosecondArray::new(begins_us.into(), times.nulls().cloned());
        Ok(begins.with_data_type(times.data_type().clone()))
    }
}

/// What is made of each time, asked once for times that follow each other in one stretch of so many microseconds, which have
/// it in common. What stands in the place of a null may be anything.
fn of_each<T: Copy>(
    times: &TimestampMicrosecondArray,
    stretch_us: i64,
    make: impl Fn(i64) -> Result<T>,
) -> Result<Vec<T>> {
    let (mut begin_us, mut made) = (0, make(0)?);
    let mut all = Vec::with_capacity(times.len());
    for (row, us) in times.values().iter().enumerate() {
        if !(0..stretch_us).contains(&us.wrapping_sub(begin_us)) && times.is_valid(row) {
            made = make(*us)?;
            begin_us = us - us.rem_euclid(stretch_us);
        }
        all.push(made);
    }
    Ok(all)
}

/// The function that tells it, of times of UTC or without a zone.
pub(in crate::sql) fn begin(unit: Unit, told: Told) -> ScalarUDF {
    ScalarUDF::from(Begin { unit, told, signature: Signature::user_defined(Volatility::Immutable) })
}

pub(super) fn all() -> Vec<ScalarUDF> {
    Unit::ALL.into_iter().flat_map(|unit| [begin(unit, Told::Time), begin(unit, Told::Date)]).collect()
}

/// Whether these are times of which the begin can be told.
pub(in crate::sql) fn is_time(data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(TimeUnit::Microsecond, zone) => zone.as_deref().is_none_or(|zone| zone == SESSION_ZONE),
        _ => false,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Begin {
    unit: Unit,
    told: Told,
    signature: Signature,
}

impl ScalarUDFImpl for Begin {
    fn name(&self) -> &str {
        match (self.unit, self.told) {
            (Unit::Hour, Told::Time) => "begin_of_hour",
            (Unit::Day, Told::Time) => "begin_of_day",
            (Unit::Week, Told::Time) => "begin_of_week",
            (Unit::Month, Told::Time) => "begin_of_month",
            (Unit::Quarter, Told::Time) => "begin_of_quarter",
            (Unit::Year, Told::Time) => "begin_of_year",
            (Unit::Hour, Told::Date) => "date_of_hour",
            (Unit::Day, Told::Date) => "date_of_day",
            (Unit::Week, Told::Date) => "date_of_week",
            (Unit::Month, Told::Date) => "date_of_month",
            (Unit::Quarter, Told::Date) => "date_of_quarter",
            (Unit::Year, Told::Date) => "date_of_year",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [time] if is_time(time) => Ok(types.to_vec()),
            _ => plan_err!("{} takes a timestamp of UTC or without a zone: write date_trunc", self.name()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match self.told {
            Told::Time => types[0].clone(),
            Told::Date => DataType::Date32,
        })
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        Ok(inputs[0].sort_properties)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        of_columns(&args, |columns, _| {
            let times = columns[0].as_primitive::<TimestampMicrosecondType>();
            Ok(match self.told {
                Told::Time => Arc::new(self.unit.begins(times)?),
                Told::Date => Arc::new(self.unit.dates(times)?),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDateTime;
    use datafusion::arrow::compute::cast;
    use datafusion::arrow::datatypes::Field;
    use datafusion::common::ScalarValue;
    use datafusion::functions::datetime::date_trunc;
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 6] = ["hour", "Day", "WEEK", "month", "quarter", "year"];

    /// What DataFusion makes of the same times.
    fn by_datafusion(name: &str, times: &TimestampMicrosecondArray) -> TimestampMicrosecondArray {
        let args = ScalarFunctionArgs {
            args: vec![ColumnarValue::Scalar(ScalarValue::from(name)), ColumnarValue::Array(Arc::new(times.clone()))],
            arg_fields: vec![],
            number_rows: times.len(),
            return_field: Arc::new(Field::new("t", times.data_type().clone(), true)),
            config_options: Arc::default(),
        };
        date_trunc().invoke_with_args(args).unwrap().into_array(times.len()).unwrap().as_primitive().clone()
    }

    #[test]
    fn a_date_is_the_first_of_what_it_is_of() {
        let us = |text: &str| text.parse::<NaiveDateTime>().unwrap().and_utc().timestamp_micros();
        for (unit, time, expected) in [
            (Unit::Hour, "2026-03-01T23:59:59.999999", "2026-03-01"),
            (Unit::Day, "2026-03-01T23:59:59.999999", "2026-03-01"),
            (Unit::Day, "1969-12-31T23:59:59.999999", "1969-12-31"),
            // A Sunday, and a Monday.
            (Unit::Week, "2026-03-01T12:00:00", "2026-02-23"),
            (Unit::Week, "2026-03-02T00:00:00", "2026-03-02"),
            (Unit::Month, "2028-02-29T12:00:00", "2028-02-01"),
            (Unit::Quarter, "2026-06-30T12:00:00", "2026-04-01"),
            (Unit::Quarter, "2026-12-31T12:00:00", "2026-10-01"),
            (Unit::Year, "2028-12-31T23:59:59", "2028-01-01"),
        ] {
            let dates = unit.dates(&vec![us(time)].into()).unwrap();
            assert_eq!(dates.value_as_date(0).unwrap().to_string(), expected, "{unit:?} of {time}");
        }
    }

    #[test]
    fn times_beyond_the_calendar_are_refused() {
        for unit in Unit::ALL {
            for times in [vec![i64::MAX], vec![0, i64::MIN]] {
                let times = times.into();
                assert!(unit.dates(&times).is_err() && unit.begins(&times).is_err(), "{unit:?}");
            }
            let nulls = TimestampMicrosecondArray::new_null(2);
            assert_eq!((unit.dates(&nulls).unwrap().null_count(), unit.begins(&nulls).unwrap().null_count()), (2, 2));
        }
    }

    proptest! {
        #[test]
        fn begins_are_those_of_datafusion(
            near in prop::collection::vec(prop::option::weighted(0.9, -40 * DAY_US..40 * DAY_US), 0..50),
            far in prop::collection::vec(prop::option::weighted(0.9, -200 * 366 * DAY_US..200 * 366 * DAY_US), 0..50),
            zone in prop::option::of(Just(SESSION_ZONE)),
        ) {
            for times in [near, far] {
                let times = TimestampMicrosecondArray::from(times).with_timezone_opt(zone);
                for name in NAMES {
                    let (unit, expected) = (Unit::named(name).unwrap(), by_datafusion(name, &times));
                    let dates = cast(&expected, &DataType::Date32).unwrap();
                    prop_assert_eq!(&unit.dates(&times).unwrap(), dates.as_primitive::<Date32Type>());
                    prop_assert_eq!(unit.begins(&times).unwrap(), expected);
                }
            }
        }
    }
}
