//! Whoever sends whatever, everybody gets his own rows.

use super::*;

/// Any mix of sizes, values at fault, panics, lanes, places and callers who
/// leave: everyone who stays gets exactly its own rows, in order, as if it were
/// alone.
#[test]
fn nobody_ever_gets_the_rows_of_another() {
    use proptest::prelude::*;

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // Some cases run where they arrive and some on runners.
    let pools: Vec<Runners> = {
        let _entered = runtime.enter();
        [Duration::ZERO, Duration::from_micros(2), Duration::from_secs(1)]
            .map(|inline_below| pool_with(2, BatchRules { inline_below, ..BatchRules::default() }))
            .into()
    };
    let lane = prop_oneof![Just(Lane::Interactive), Just(Lane::Bulk)];
    let call = (prop::collection::vec(0_u8..20, 1..12), lane, any::<bool>());
    let calls = prop::collection::vec(call, 1..16);
    proptest!(ProptestConfig::with_cases(10_000), |(calls in calls, pool in 0..3_usize)| {
        let model = Arc::new(Echo::default());
        model.cost.learn(4, Took::undisturbed(Duration::from_micros(2)));
        runtime.block_on(async {
            let (mut staying, mut leaving) = (Vec::new(), Vec::new());
            for (number, (kinds, lane, leaves)) in calls.iter().enumerate() {
                // 13, 14 and 15 make the model fail; all others are told apart by caller and row.
                let value = |(row, kind): (usize, &u8)| match kind {
                    13..=15 => f32::from(*kind),
                    _ => (1000 + number * 100 + row) as f32,
                };
                let values: Vec<f32> = kinds.iter().enumerate().map(value).collect();
                let scored = tokio::spawn(pools[pool].clone().call(Encoded { lane: *lane, ..job(&model, &values) }));
                if *leaves { scored.abort(); leaving.push(scored) } else { staying.push((values, scored)) }
            }
            for (values, scored) in staying {
                let scored = scored.await.unwrap().unwrap();
                let good: Vec<f32> = values.iter().copied().filter(|value| *value > 100.0).collect();
                let failed: Vec<usize> = (0..values.len()).filter(|row| values[*row] < 100.0).collect();
                assert_eq!(scored.failed.iter().map(|(row, _)| *row).collect::<Vec<_>>(), failed);
                assert_eq!(scored.outputs.len(), good.len());
                let rows: Vec<f32> = (0..good.len()).map(|row| scored.outputs.columns()[0].f32_row(row)[0]).collect();
                assert_eq!(rows, good);
            }
            futures::future::join_all(leaving).await;
        });
        assert!(pools[pool].watch()().iter().all(|(_, rows)| *rows == 0), "somebody was left in the queue");
    });
}

/// Rows of open sizes: answers the sum of each row, and how many values it had. Raises for
/// a batch with a 13, and where parts don't fit that were said to.
struct Sums {
    /// Whether rows of different sizes may be filled up to run together.
    fills_up: bool,
    cost: Cost,
}

impl Forward for Sums {
    fn identity(&self) -> (&str, u64) {
        ("sums", 1)
    }

    fn max_batch_rows(&self) -> NonZeroUsize {
        NonZeroUsize::new(4).unwrap()
    }

    fn cost(&self) -> &Cost {
        &self.cost
    }

    fn fits(&self, first: &Rows, more: &Rows) -> bool {
        self.fills_up || first.fits(more)
    }

    fn forward(&self, parts: &[&Rows]) -> Result<Rows, ForwardError> {
        if parts.iter().any(|part| !self.fits(parts[0], part)) {
            return Err(ForwardError::Raised("parts that don't fit".into()));
        }
        let rows = parts.iter().flat_map(|part| (0..part.len()).map(|row| part.columns()[0].f32_row(row)));
        let rows: Vec<&[f32]> = rows.collect();
        if rows.concat().contains(&13.0) {
            return Err(ForwardError::Raised("thirteen".into()));
        }
        let sums = rows.iter().flat_map(|row| [row.iter().sum(), row.len() as f32]).collect();
        Ok(Rows::new(rows.len(), vec![Column::new(2, Values::F32(sums))])?)
    }
}

/// Any mix of open sizes, rows at fault, lanes and callers who leave, whether sizes are
/// filled up or run apart: everyone who stays gets the answers to exactly its own rows.
#[test]
fn rows_of_different_sizes_never_get_the_answers_of_others() {
    use proptest::prelude::*;

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let pools: Vec<Runners> = {
        let _entered = runtime.enter();
        [Duration::ZERO, Duration::from_secs(1)]
            .map(|inline_below| pool_with(2, BatchRules { inline_below, ..BatchRules::default() }))
            .into()
    };
    let lane = prop_oneof![Just(Lane::Interactive), Just(Lane::Bulk)];
    // Rows that are at fault or not, their size, the lane, and whether the caller leaves.
    let call = (prop::collection::vec(prop::bool::weighted(0.1), 1..10), 0_usize..4, lane, prop::bool::weighted(0.3));
    let calls = prop::collection::vec(call, 1..16);
    proptest!(ProptestConfig::with_cases(2_000), |(calls in calls, pool in 0..2_usize, fills_up: bool)| {
        let model: Arc<dyn Forward> = Arc::new(Sums { fills_up, cost: Cost::default() });
        model.cost().learn(4, Took::undisturbed(Duration::from_micros(2)));
        runtime.block_on(async {
            let (mut staying, mut leaving) = (Vec::new(), Vec::new());
            for (number, (faults, size, lane, leaves)) in calls.iter().enumerate() {
                // Rows without a value can't be at fault.
                let value = |row: usize, fault: bool| if fault { 13.0 } else { (100 + number * 16 + row) as f32 };
                let values = faults.iter().enumerate().flat_map(|(row, fault)| vec![value(row, *fault); *size]);
                let column = Column { width: *size, varying: vec![*size], values: Values::F32(values.collect()) };
                let rows = Rows::new(faults.len(), vec![column]).unwrap();
                let job = Encoded { model: Arc::clone(&model), rows, deadline: None, lane: *lane, since: Instant::now(), journey: None, fare: None };
                let scored = tokio::spawn(pools[pool].clone().call(job));
                let answer = |(row, fault): (usize, &bool)| match (*fault, *size) {
                    (true, 1..) => None,
                    (_, size) => Some(vec![(value(row, false) as usize * size) as f64, size as f64]),
                };
                let wanted: Vec<_> = faults.iter().enumerate().map(answer).collect();
                if *leaves { scored.abort(); leaving.push(scored) } else { staying.push((wanted, scored)) }
            }
            for (wanted, scored) in staying {
                let scored = scored.await.unwrap().unwrap();
                let found = |row| scored.place(row).ok().map(|place| scored.outputs.columns()[0].row_numbers(place));
                assert_eq!((0..wanted.len()).map(found).collect::<Vec<_>>(), wanted);
            }
            futures::future::join_all(leaving).await;
        });
        assert!(pools[pool].watch()().iter().all(|(_, rows)| *rows == 0), "somebody was left in the queue");
    });
}
