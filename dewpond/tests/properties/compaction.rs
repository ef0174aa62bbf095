//! Publishing, merging and vacuuming leave every row unchanged.

use std::collections::BTreeMap;

use lake::Event;
use proptest::prelude::*;

use crate::cases;
use crate::events::{Row, event, row};
use crate::lake_state::LakeState;

/// A step in the history of a lake.
#[derive(Clone, Debug)]
enum Step {
    /// This many of the remaining events arrive as one file of a lane.
    Append {
        lane: usize,
        events: usize,
    },
    Publish,
    Merge,
    Vacuum,
}

const LANES: usize = 3;

/// A few raw files per commit.
const PUBLISH_BYTES_MAX: u64 = 48 << 10;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..LANES, 1..8_usize).prop_map(|(lane, events)| Step::Append { lane, events }),
        3 => Just(Step::Publish),
        1 => Just(Step::Merge),
        1 => Just(Step::Vacuum),
    ]
}

proptest! {
    #![proptest_config(cases(6))]

    #[test]
    fn compaction_keeps_every_row_in_every_column(
        events in prop::collection::vec(event(), 1..60),
        steps in prop::collection::vec(step(), 4..16),
    ) {
        let unique: BTreeMap<_, Event> =
            events.into_iter().map(|event| ((event.site_id.clone(), event.event_id), event)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(unique.into_values().collect(), steps));
    }
}

async fn run(events: Vec<Event>, mut steps: Vec<Step>) {
    let mut state = LakeState::new(LANES, PUBLISH_BYTES_MAX);
    let (mut left, mut expected) = (events.as_slice(), Vec::<Row>::new());
    steps.extend([Step::Append { lane: 0, events: left.len() }, Step::Publish, Step::Merge, Step::Vacuum]);
    for step in steps {
        match step {
            Step::Append { lane, events } => {
                let (now, later) = left.split_at(events.min(left.len()));
                if now.is_empty() {
                    continue;
                }
                state.append(lane, now).await;
                expected.extend(now.iter().map(row));
                expected.sort();
                left = later;
            }
            Step::Publish => state.publish().await,
            Step::Merge => state.merge().await,
            Step::Vacuum => state.vacuum().await,
        }
        let rows = state.rows().await;
        assert_eq!(rows.len(), expected.len(), "rows after {step:?}");
        for (row, expected) in rows.iter().zip(&expected) {
            assert_eq!(row, expected, "after {step:?}");
        }
        if !matches!(step, Step::Append { .. }) {
            state.check_bounds().await;
        }
    }
    assert!(left.is_empty());
}
