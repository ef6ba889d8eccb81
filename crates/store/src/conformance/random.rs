//! Any mutations in any batches leave what a plain model says.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use rowmill_model::arbitrary::{OwnedMutation, mutation};
use rowmill_model::{MutationBatch, Row, RowBuilder};

use super::{FAMILIES, Fixture, TABLE};
use crate::row_cells::RowCells;
use crate::scan::Scan;
use crate::store::StoreExt as _;

static FAMILY_NAMES: [&str; 2] = FAMILIES;

/// Applies random batches to the store and to a map, and compares every row, in both directions.
///
/// Stores may apply the mutations of one batch in any order, so a batch has one mutation for each row.
pub async fn any_mutations_leave_what_the_model_says(fixture: Fixture) {
    fixture.create_table().await;
    let mut runner = TestRunner::default();
    let batches =
        prop::collection::vec(prop::collection::vec(mutation(&FAMILY_NAMES), 1..12), 1..6);
    let mut model: BTreeMap<Vec<u8>, RowCells> = BTreeMap::new();
    let cases = runner.config().cases.min(64);
    for _ in 0..cases {
        let history = batches.new_tree(&mut runner).expect("generates").current();
        for mutations in &history {
            apply(&fixture, &mut model, mutations).await;
        }
        let expected: Vec<Row> = model
            .iter()
            .filter_map(|(key, cells)| RowBuilder::build(key.clone(), cells.iter()))
            .collect();
        let found = fixture.rows(Scan::all()).await;
        assert_eq!(found, expected, "after {history:?}");
        let backwards: Vec<Row> = expected.into_iter().rev().collect();
        assert_eq!(fixture.rows(Scan::all().reversed()).await, backwards);
    }
}

async fn apply(
    fixture: &Fixture,
    model: &mut BTreeMap<Vec<u8>, RowCells>,
    mutations: &[OwnedMutation],
) {
    let of_each_row: BTreeMap<_, _> = mutations
        .iter()
        .map(|mutation| (&mutation.key, mutation))
        .collect();
    let mut batch = MutationBatch::new();
    for mutation in of_each_row.values() {
        mutation.write(&mut batch);
    }
    for mutation in batch.iter() {
        model
            .entry(mutation.key().to_vec())
            .or_default()
            .apply(mutation);
    }
    fixture
        .store
        .apply_all(TABLE, batch)
        .await
        .expect("applies");
}
