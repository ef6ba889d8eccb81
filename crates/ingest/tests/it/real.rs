//! Real specimens, where `ROWMILL_REAL_DATA` points to them: broken and odd files counted as an independent reader did.

use std::path::PathBuf;

use rowmill_ingest::{Chunks, CsvRows, Format, Options};
use serde_json::Value;

fn real_data() -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests find real data through the environment"
    )]
    let folder = std::env::var_os("ROWMILL_REAL_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: ROWMILL_REAL_DATA is not set");
    }
    folder
}

/// How many records a file has, and how many of them are readable.
fn count(bytes: &[u8], extension: &str) -> (u64, u64) {
    let format = Format::detect(Some(extension), bytes);
    let mut chunks = Chunks::new(
        bytes,
        Options {
            chunk_bytes: 1000,
            ..Options::new(format)
        },
    );
    if format == Format::Csv && chunks.take_header().is_err() {
        return (0, 0);
    }
    let (mut records, mut readable) = (0, 0);
    for chunk in chunks {
        let chunk = chunk.unwrap();
        let rows = CsvRows::parse(&chunk, b',');
        for (record, row) in chunk.records().zip(rows.iter()) {
            records += 1;
            let text = std::str::from_utf8(record.raw).unwrap_or("{");
            let parses = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
            let good = if format == Format::Csv {
                row.is_some()
            } else {
                parses && record.defect.is_none()
            };
            readable += u64::from(good);
        }
    }
    (records, readable)
}

#[test]
fn nasty_files_are_counted_as_the_facts_say() {
    let Some(folder) = real_data() else { return };
    let facts: Value =
        serde_json::from_slice(&std::fs::read(folder.join("facts.json")).unwrap()).unwrap();
    let mut checked = 0;
    for (name, fact) in facts["dev/nasty"].as_object().unwrap() {
        let path = folder.join("nasty").join(name);
        let (records, readable) = count(
            &std::fs::read(&path).unwrap(),
            path.extension().unwrap().to_str().unwrap(),
        );
        checked += 1;
        if let Some(rows) = fact["csv_records"].as_u64() {
            // UTF-16 has no readable header, so nothing of it is read.
            let expected = if fact["bom"] == "utf-16le" {
                0
            } else {
                rows - 1
            };
            assert_eq!(records, expected, "{name}");
            let valid = fact["utf8"] == true || fact["bom"] == "utf-16le";
            assert_eq!(readable == records, valid, "{name}");
        } else if name.ends_with(".ndjson") {
            assert_eq!(
                (records, readable),
                (fact["as_jsonl"]["valid"].as_u64().unwrap(), records),
                "{name}"
            );
        } else if fact["strict_json"] == "ok" {
            let expected = if fact["json_type"] == "array" {
                fact["json_len"].as_u64().unwrap_or(0)
            } else {
                1
            };
            assert_eq!((records, readable), (expected, expected), "{name}");
        } else if fact["bytes"] != 0 && fact["bom"] != "utf-8" {
            assert!(
                readable < records,
                "{name}: {readable} of {records} readable"
            );
        }
    }
    assert_eq!(checked, 75);
}
