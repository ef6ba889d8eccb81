//! Looking for records takes linear time, whatever the file holds: bytes that are looked at are counted, and no clock is asked.

use proptest::prelude::*;
use rowmill_ingest::{Chunks, Format, Options};

/// How many times a byte is looked at or moved at most.
const LOOKS_MAX: u64 = 8;

/// Lines that leave a scanner in another state than it entered them in, beside sound ones.
const CSV_LINES: [&str; 10] = [
    "abc1\",\"def\",\"ghi",
    "\"",
    "\"\"",
    "\"\"\"",
    "1,\"unclosed",
    "closed\",2",
    "1,\"both\",2",
    "\"a\"\"",
    ",\"\",\"",
    "plain,5\" disk",
];

const JSON_LINES: [&str; 12] = [
    "{",
    "}",
    "[",
    "]",
    "  {",
    "  },",
    "{\"a\":1}",
    "{\"a\":[1}",
    "{\"a\":\"x",
    "\"",
    ",",
    "   ",
];

/// How often a byte of the file is looked at or moved, on average.
fn looks(input: &[u8], options: Options) -> u64 {
    let mut chunks = Chunks::new(input, options);
    let bytes: u64 = chunks
        .by_ref()
        .map(|chunk| chunk.unwrap().bytes() as u64)
        .sum();
    assert!(bytes <= input.len() as u64);
    assert_eq!(chunks.offset(), input.len() as u64);
    chunks.work().div_ceil(chunks.offset().max(1))
}

fn lines(of: &'static [&'static str]) -> impl Strategy<Value = String> {
    let few = prop::collection::vec(prop::sample::select(of), 1..4);
    let line_break = prop::sample::select(vec!["\n", "\r\n", "\r", ""]);
    let block = (few, line_break, 1_usize..200)
        .prop_map(|(few, line_break, times)| (few.join(line_break) + line_break).repeat(times));
    prop::collection::vec(block, 1..4).prop_map(|blocks| blocks.concat())
}

fn limits() -> impl Strategy<Value = (usize, usize)> {
    (
        1_usize..300,
        prop::sample::select(vec![7, 50, 1000, 1 << 20]),
    )
}

proptest! {
    #[test]
    fn any_file_takes_linear_time(
        (format, input) in prop_oneof![
            lines(&CSV_LINES).prop_map(|input| (Format::Csv, input)),
            lines(&JSON_LINES).prop_map(|input| (Format::Json, input)),
            lines(&CSV_LINES).prop_map(|input| (Format::Jsonl, input)),
        ],
        (chunk_bytes, record_bytes_max) in limits(),
    ) {
        let options = Options { chunk_bytes, record_bytes_max, ..Options::new(format) };
        prop_assert!(looks(input.as_bytes(), options) <= LOOKS_MAX);
    }
}

/// Quoted CSV whose outer quotes were stripped: each line leaves the scanner in quotes. It was read 20,000 times.
#[test]
fn a_file_of_unclosed_quotes_takes_linear_time() {
    for line in ["abc1\",\"def\",\"ghi\n", "\"\n", "1,\"x\ny\",\"z\n"] {
        for count in [2_000, 40_000] {
            let input = line.repeat(count);
            let whole = Options::new(Format::Csv);
            assert!(looks(input.as_bytes(), whole) <= LOOKS_MAX, "{line:?}");
            let record_bytes_max = 100_000;
            let limited = Options {
                record_bytes_max,
                ..whole
            };
            assert!(looks(input.as_bytes(), limited) <= LOOKS_MAX, "{line:?}");
        }
    }
}

/// A record as long as is allowed comes in many chunks: none of them is looked at again for the next.
#[test]
fn a_long_record_takes_linear_time() {
    let long = "x".repeat(1 << 20);
    let cases = [
        (Format::Jsonl, format!("{{\"a\":\"{long}\"}}\n")),
        (Format::Csv, format!("1,\"{long}\"\n")),
        (Format::Csv, format!("1,{long}\n")),
        (Format::Json, format!("[{{\"a\":\"{long}\"}}]")),
        (Format::Json, format!("[{{\"a\":\"{long}\"")),
    ];
    for (format, input) in cases {
        let chunk_bytes = 100;
        let options = Options {
            chunk_bytes,
            ..Options::new(format)
        };
        assert!(looks(input.as_bytes(), options) <= LOOKS_MAX, "{format:?}");
    }
}
