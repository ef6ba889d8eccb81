//! Generated events: the same bytes for ever, and what was asked for.

use rowmill_ingest::Format;
use rowmill_pipeline::{Control, GenerateOptions, Generator, check};

use crate::{generated, inputs, options, stages};

fn bytes(options: GenerateOptions) -> Vec<u8> {
    let mut bytes = Vec::new();
    Generator::new(options).write_all(&mut bytes).unwrap();
    bytes
}

/// FNV-1a, so that a golden value needs no golden file.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn the_same_seed_gives_the_same_bytes_for_ever() {
    let hash_of = |format, seed| {
        hash(&bytes(GenerateOptions {
            events: 500,
            seed,
            format,
            bad_percent: 5.0,
            ..GenerateOptions::default()
        }))
    };
    assert_eq!(
        [
            hash_of(Format::Jsonl, 42),
            hash_of(Format::Csv, 42),
            hash_of(Format::Json, 7)
        ],
        GOLDEN
    );
    assert_ne!(hash_of(Format::Jsonl, 42), hash_of(Format::Jsonl, 43));
}

const GOLDEN: [u64; 3] = [
    1_572_029_787_190_769_433,
    2_437_252_260_104_741_501,
    13_099_525_953_712_373_275,
];

#[tokio::test(flavor = "multi_thread")]
async fn as_many_as_asked_for_and_as_bad() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    for name in ["a.jsonl", "a.csv"] {
        let path = generated(folder.path(), name, 4_000, 3);
        let report = check(
            &stages,
            inputs(&[&path]).prepare(&stages).unwrap(),
            &options("run"),
            &Control::default(),
        )
        .await
        .unwrap();
        assert_eq!(report.ledger.read, 4_000);
        let bad = report.ledger.rejected() + report.ledger.duplicate;
        assert!(
            (300..500).contains(&bad),
            "{name}: {bad} of 4,000 for ten percent"
        );
        assert!(
            report.ledger.rejected_by_reason.len() >= 5,
            "{:?}",
            report.ledger
        );
    }
    let empty = bytes(GenerateOptions {
        events: 0,
        ..GenerateOptions::default()
    });
    assert_eq!(empty, b"");
}

#[test]
fn times_rise_within_the_days() {
    let text = String::from_utf8(bytes(GenerateOptions {
        events: 1_000,
        days: 2,
        ..GenerateOptions::default()
    }))
    .unwrap();
    let times: Vec<i64> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["ts"]
                .as_i64()
                .unwrap()
        })
        .collect();
    assert!(times.is_sorted());
    let start = 1_761_955_200_000;
    assert!(
        times[0] >= start && times[999] < start + 2 * 86_400_000 && times[999] > start + 86_400_000
    );
}
