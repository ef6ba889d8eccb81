//! Whatever chunks a server sends: never a panic, and only rows that it committed, in order.

use googleapis_tonic_google_bigtable_v2::google::bigtable::v2::ReadRowsResponse;
use proptest::prelude::*;

use super::*;

/// Chunks that are wrong in every way, and right now and then.
fn any_chunk() -> impl Strategy<Value = CellChunk> {
    let name = prop::option::of(prop::sample::select(vec!["", "f", "g"]));
    let status = prop_oneof![
        3 => Just(None),
        2 => Just(Some(RowStatus::CommitRow(true))),
        1 => Just(Some(RowStatus::ResetRow(true))),
        1 => Just(Some(RowStatus::CommitRow(false))),
    ];
    (
        prop::sample::select(vec!["", "", "a", "b", "c"]),
        name.clone(),
        name,
        prop::sample::select(vec![0_i64, 1_000, i64::MIN]),
        prop::sample::select(vec!["", "v"]),
        prop::sample::select(vec![0, 0, 0, 2, -1, i32::MAX]),
        status,
    )
        .prop_map(
            |(key, family, qualifier, timestamp_micros, value, value_size, row_status)| CellChunk {
                row_key: key.into(),
                family_name: family.map(str::to_owned),
                qualifier: qualifier.map(|name| name.as_bytes().to_vec()),
                timestamp_micros,
                labels: Vec::new(),
                value: value.into(),
                value_size,
                row_status,
            },
        )
}

proptest! {
    #[test]
    fn any_chunks_are_rows_in_order_or_an_error(
        messages in prop::collection::vec((prop::collection::vec(any_chunk(), 0..6), prop::sample::select(vec!["", "", "b", "d"])), 0..6),
        reversed: bool,
    ) {
        let mut assembler = Assembler::new(reversed);
        let mut rows = Vec::new();
        let mut commits = 0;
        for (chunks, scanned) in messages {
            commits += chunks.iter().filter(|chunk| chunk.row_status == Some(RowStatus::CommitRow(true))).count();
            let message = ReadRowsResponse { chunks, last_scanned_row_key: scanned.into(), request_stats: None };
            if assembler.take(message, &mut rows).is_err() {
                assembler.restart();
            }
        }
        prop_assert!(rows.len() <= commits);
        for pair in rows.windows(2) {
            prop_assert_eq!(pair[0].key < pair[1].key, !reversed);
        }
        prop_assert!(rows.iter().all(|row| !row.key.is_empty() && !row.cells.is_empty()));
    }
}

#[test]
fn what_a_server_announces_takes_no_memory() {
    let mut assembler = Assembler::new(false);
    let chunk = CellChunk {
        row_key: "a".into(),
        family_name: Some("f".to_owned()),
        qualifier: Some(b"q".to_vec()),
        value: "v".into(),
        value_size: i32::MAX,
        ..CellChunk::default()
    };
    let message = ReadRowsResponse {
        chunks: vec![chunk],
        ..ReadRowsResponse::default()
    };
    assembler.take(message, &mut Vec::new()).unwrap();
    let split = assembler.split.as_ref().unwrap();
    assert!(split.value.capacity() < 1_024);
}
