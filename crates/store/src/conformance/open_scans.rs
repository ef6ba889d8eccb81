//! Scans that are open for a while: many at once, and while rows are written.

use futures::StreamExt as _;
use futures::stream::BoxStream;
use rowmill_model::{MutationBatch, Row};

use super::{Fixture, TABLE};
use crate::error::Result;
use crate::scan::Scan;
use crate::store::StoreExt as _;

/// The table of these cases: more bytes than any store reads ahead for one scan.
const ROWS: usize = 96;
const VALUE_BYTES: usize = 64 << 10;

fn key(row: usize) -> Vec<u8> {
    format!("row {row:03}").into_bytes()
}

/// Writes some of the rows, with values of one letter.
async fn write(fixture: &Fixture, rows: impl Iterator<Item = usize>, letter: u8) {
    let value = vec![letter; VALUE_BYTES];
    let mut batch = MutationBatch::new();
    for row in rows {
        let mut mutation = batch.row(&key(row));
        mutation.set("a", b"q", 0, &value);
        mutation.finish();
    }
    let applied = fixture.store.apply_all(TABLE, batch).await;
    applied.expect("applies the batch");
}

type Rows = BoxStream<'static, Result<Row>>;

async fn next_key(rows: &mut Rows) -> Option<Vec<u8>> {
    let row = rows.next().await?;
    Some(row.expect("scans").key().to_vec())
}

async fn rest(mut rows: Rows) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    while let Some(key) = next_key(&mut rows).await {
        keys.push(key);
    }
    keys
}

/// Any number of scans may be open, each with more to come than any buffer holds, and be read in any order.
pub async fn many_open_scans_are_read_in_any_order(fixture: Fixture) {
    const SCANS: usize = 20;
    fixture.create_table().await;
    write(&fixture, 0..ROWS, b'x').await;
    let all: Vec<_> = (0..ROWS).map(key).collect();
    let mut scans = Vec::new();
    for _ in 0..SCANS {
        let mut rows = fixture.store.scan(TABLE, Scan::all());
        assert_eq!(next_key(&mut rows).await.as_ref(), all.first());
        scans.push(rows);
    }
    // Others can be served meanwhile.
    assert!(
        fixture
            .store
            .row(TABLE, &all[1])
            .await
            .expect("reads")
            .is_some()
    );
    write(&fixture, ROWS - 1..ROWS, b'y').await;
    // From the last one, the first one, and then every third of those that are left.
    for turn in 0..SCANS {
        let at = match turn {
            0 => scans.len() - 1,
            1 => 0,
            _ => turn * 3 % scans.len(),
        };
        assert_eq!(rest(scans.remove(at)).await, all[1..]);
    }
}

/// A scan that is open while rows are written shows each row that nobody removes once, in order.
pub async fn a_scan_goes_on_while_rows_are_written(fixture: Fixture) {
    const ROUNDS: usize = 4;
    fixture.create_table().await;
    write(&fixture, 0..ROWS, b'x').await;
    for scan in [Scan::all(), Scan::all().reversed()] {
        let is_reversed = scan.reverse;
        let mut rows = fixture.store.scan(TABLE, scan);
        let mut keys = Vec::new();
        for round in 0..ROUNDS {
            keys.extend(next_key(&mut rows).await);
            // Every row is written again, and so much that what was there when the scan began is no longer kept.
            write(
                &fixture,
                0..ROWS,
                b'a' + u8::try_from(round).expect("a few"),
            )
            .await;
        }
        keys.extend(rest(rows).await);
        if is_reversed {
            keys.reverse();
        }
        assert_eq!(keys, (0..ROWS).map(key).collect::<Vec<_>>());
    }
}
