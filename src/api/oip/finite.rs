//! Outputs that are no number, found in turns: a reply may have megabytes of them.

use super::super::turns::Turn;
use crate::rows::{Column, Values};

/// Elements that are looked at between two looks at the turn; so few are looked at
/// without one.
const STRETCH: usize = 4096;

/// The rows of a column that hold something else than finite numbers, ascending.
pub(super) async fn rows_without_number(column: &Column) -> Vec<usize> {
    let (values, width, mut rows) = (&column.values, column.width.max(1), Vec::new());
    if values.len() <= STRETCH && values.is_all_finite() {
        return rows;
    }
    let (mut from, mut turn) = (0, Turn::begin());
    while from < values.len() {
        let to = values.len().min(from + STRETCH);
        let found = first(values, from, to);
        // The rest of its row says nothing more.
        let next = found.map_or(to, |place| (place / width + 1) * width);
        rows.extend(found.map(|place| place / width));
        if turn.is_over_after((next.min(to) - from) * values.dtype().size()) {
            tokio::task::yield_now().await;
            turn = Turn::begin();
        }
        from = next;
    }
    rows
}

/// The place of the first value that is no finite number.
fn first(values: &Values, from: usize, to: usize) -> Option<usize> {
    if values.is_finite(from..to) {
        return None;
    }
    values.find(from..to, |value| !value.is_finite()).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn column(width: usize, values: Vec<f32>) -> Column {
        Column::new(width, Values::F32(values))
    }

    #[tokio::test]
    async fn each_row_is_named_once() {
        let mut values = vec![1.0; 3 * 5000];
        for place in [0, 2, 7, 4095, 4096, 9000, 14_999] {
            values[place] = f32::NAN;
        }
        assert_eq!(rows_without_number(&column(3, values)).await, [0, 2, 1365, 3000, 4999]);
        assert_eq!(rows_without_number(&column(3, vec![1.0, f32::INFINITY, 0.0, 2.0, 2.0, 2.0])).await, [0]);
        assert!(rows_without_number(&Column::i64(1, 0)).await.is_empty());
    }

    #[tokio::test]
    async fn few_are_looked_at_at_once_and_many_in_turns() {
        assert!(rows_without_number(&column(1, vec![0.0; STRETCH])).now_or_never().is_some());
        // In one turn there is no time for so many.
        for value in [0.0, f32::NAN] {
            assert!(rows_without_number(&column(1, vec![value; 1 << 23])).now_or_never().is_none());
        }
    }
}
