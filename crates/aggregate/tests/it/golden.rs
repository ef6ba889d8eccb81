//! Stored forms: what was written once must be read for ever, and written so for ever.

use std::fmt::Write as _;
use std::path::Path;

use rowmill_aggregate::{Bucket, Groups, read_board};
use rowmill_model::Row;

use crate::plays::{Aggregated, Play, hours, plan, row};

/// Events with everything in them: no user, no length, below zero, many of one value.
fn plays() -> Vec<Play> {
    vec![
        (Some(1), 0, 0, Some(1_234), Some(0)),
        (Some(1), 10, 0, Some(-5), Some(1)),
        (None, 20, 1, None, None),
        (Some(2), 30, 2, Some(0), Some(3)),
        (Some(3), 31, 2, Some(4_999), Some(3)),
        (Some(3), 95, 2, Some(4_999), Some(3)),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Compares with the file, or writes it where there is none yet.
fn check(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    let Ok(expected) = std::fs::read_to_string(&path) else {
        std::fs::write(&path, found).unwrap();
        panic!("{name} was missing and is written now: look at it, and add it");
    };
    assert!(found == expected, "{name} is written otherwise than it was");
}

#[test]
fn version_1_of_partials() {
    let plan = plan();
    let rows: Vec<Row> = plays()
        .iter()
        .enumerate()
        .map(|(id, play)| row(&plan, id, *play))
        .collect();
    let mut groups = Groups::new(&plan);
    rows.iter()
        .for_each(|row| groups.add(&plan.observe(row).unwrap()));
    let mut partial = plan.partial();
    let mut chunks = Vec::new();
    let done = groups.drain(&mut partial, |done| {
        chunks.extend(done);
        Ok::<_, std::convert::Infallible>(())
    });
    done.unwrap();
    chunks.extend(partial.finish());
    assert_eq!(chunks.len(), 1);
    check("partial.v1.hex", &hex(&chunks[0]));
}

#[test]
fn version_3_of_rows() {
    let plan = plan();
    let rows: Vec<Row> = plays()
        .iter()
        .enumerate()
        .map(|(id, play)| row(&plan, id, *play))
        .collect();
    let all: Vec<_> = rows.iter().map(|row| plan.observe(row).unwrap()).collect();
    let mut aggregated = Aggregated::default();
    aggregated.update(&plan, &[&all], &hours(&plays()), true);
    let mut text = String::new();
    for (key, cells) in &aggregated.rows {
        for ((family, qualifier), value) in cells {
            let [key, qualifier] = [key, qualifier].map(|bytes| String::from_utf8_lossy(bytes));
            let value = if key.starts_with("_top") && family != "metadata" {
                read_board(plan.layout(), value).unwrap();
                String::from_utf8_lossy(value).into_owned()
            } else {
                hex(value)
            };
            text += &format!("{key} {family}:{qualifier} {value}\n");
        }
    }
    check("rows.v3.txt", &text);
}

/// A set beyond its exact size, which no small example has.
#[test]
fn version_2_of_a_bucket_with_a_sketch() {
    let plan = plan();
    let mut bucket = Bucket::new(plan.layout());
    for user in 0..5_000 {
        bucket.distinct[0].add(&format!("user {user}"));
    }
    let bytes = bucket.encode(plan.layout());
    assert_eq!(Bucket::decode(plan.layout(), &bytes).unwrap(), bucket);
    let hash = xxhash_rust::xxh3::xxh3_64(&bytes);
    check(
        "sketch.v2.txt",
        &format!("{} bytes, xxh3 {hash:016x}\n", bytes.len()),
    );
}
