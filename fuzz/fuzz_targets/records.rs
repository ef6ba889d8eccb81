//! Whatever a file holds, it is read to its end, and has the same records in chunks of any size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rowmill_ingest::{Chunks, Defect, Format, Options, Position};

type Found = Vec<(Position, Vec<u8>, Option<Defect>)>;

fn records(input: &[u8], format: Format, chunk_bytes: usize) -> Found {
    let options = Options {
        chunk_bytes,
        ..Options::new(format)
    };
    let mut found = Vec::new();
    for chunk in Chunks::new(input, options) {
        let chunk = chunk.expect("a slice can be read");
        found.extend(
            chunk
                .records()
                .map(|record| (record.position, record.raw.to_vec(), record.defect)),
        );
    }
    found
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, input)) = input.split_first() else {
        return;
    };
    let format = [Format::Csv, Format::Jsonl, Format::Json][usize::from(choice % 3)];
    let whole = records(input, format, 1 << 20);
    assert_eq!(records(input, format, 1 + usize::from(choice / 3)), whole);
    let mut end = 0;
    for (position, raw, _) in &whole {
        assert!(position.offset >= end, "records do not overlap");
        assert_eq!(position.length, raw.len() as u64);
        end = position.offset + position.length;
    }
    assert!(end <= input.len() as u64);
});
