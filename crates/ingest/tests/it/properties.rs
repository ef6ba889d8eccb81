//! Any bytes: never a panic, never a lost byte, and the same records however the file is cut into chunks.

use proptest::prelude::*;
use rowmill_ingest::{Chunks, CsvRows, Defect, Error, Format, Options};
use xxhash_rust::xxh3::xxh3_128;

use crate::{Found, read};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let awkward = prop::sample::select(br#"{}[]",:\nrtu1 a-"#.to_vec());
    let breaks = prop::sample::select(b"\n\r\n ".to_vec());
    let content = prop::collection::vec(
        prop_oneof![6 => awkward, 2 => breaks, 1 => any::<u8>()],
        0..200,
    );
    // Some files begin with a byte order mark, or with a part of one.
    let mark = prop_oneof![6 => Just(0_usize), 2 => Just(3), 1 => 1_usize..3];
    (mark, content).prop_map(|(mark, content)| [&b"\xef\xbb\xbf"[..mark], &content].concat())
}

fn format() -> impl Strategy<Value = Format> {
    prop::sample::select(vec![Format::Csv, Format::Jsonl, Format::Json])
}

/// Whether a byte between records may belong to none of them.
fn separates(format: Format, byte: u8) -> bool {
    byte.is_ascii_whitespace() || format == Format::Json && matches!(byte, b'[' | b',' | b']')
}

fn check_nothing_lost(format: Format, input: &[u8], records: &[Found]) {
    let bom = if input.starts_with(b"\xef\xbb\xbf") {
        3
    } else {
        0
    };
    let mut at = bom;
    for (index, (number, line, offset, raw, _)) in records.iter().enumerate() {
        let offset = usize::try_from(*offset).unwrap();
        assert_eq!(*number, index as u64 + 1);
        assert!(offset >= at, "records do not overlap");
        assert!(
            input[at..offset]
                .iter()
                .all(|byte| separates(format, *byte)),
            "nothing is lost before {offset}"
        );
        assert_eq!(
            &input[offset..offset + raw.len()],
            raw,
            "raw bytes are those of the file"
        );
        assert_eq!(
            *line,
            line_of(format, input, offset),
            "the line of {offset}"
        );
        at = offset + raw.len();
    }
    assert!(
        input[at..].iter().all(|byte| separates(format, *byte)),
        "nothing is lost at the end"
    );
}

/// Whether these bytes may belong to no record, where the record before them may have been cut.
fn between(format: Format, bytes: &[u8], is_cut: bool) -> bool {
    let mut rest = bytes;
    if is_cut && format == Format::Json {
        // The rest of a document ends where its brackets close, which only the splitter knows.
        return true;
    }
    if is_cut {
        let is_break = |byte: &u8| *byte == b'\n' || format == Format::Csv && *byte == b'\r';
        let line = rest.iter().position(is_break).unwrap_or(rest.len());
        rest = &rest[line..];
    }
    rest.iter().all(|byte| separates(format, *byte))
}

fn line_of(format: Format, input: &[u8], offset: usize) -> u64 {
    let before = &input[..offset];
    let line_feeds = before.iter().filter(|byte| **byte == b'\n').count();
    let returns = before
        .iter()
        .enumerate()
        .filter(|(at, byte)| **byte == b'\r' && input.get(at + 1) != Some(&b'\n'));
    (line_feeds
        + if format == Format::Jsonl {
            0
        } else {
            returns.count()
        }) as u64
        + 1
}

proptest! {
    #[test]
    fn no_byte_is_lost(format in format(), input in bytes()) {
        check_nothing_lost(format, &input, &read(&input, Options::new(format)));
    }

    #[test]
    fn chunks_do_not_matter(format in format(), input in bytes(), chunk_bytes in 1_usize..40) {
        let options = Options::new(format);
        prop_assert_eq!(read(&input, Options { chunk_bytes, ..options }), read(&input, options));
    }

    /// With a limit there may be other records, but they do not depend on chunks either.
    #[test]
    fn chunks_do_not_matter_to_limits(format in format(), input in bytes(), chunk_bytes in 1_usize..40, record_bytes_max in 1_usize..30) {
        let options = Options { record_bytes_max, ..Options::new(format) };
        prop_assert_eq!(read(&input, Options { chunk_bytes, ..options }), read(&input, options));
    }

    /// With a limit every byte is in a record, between two, or the rest of a line or document whose beginning was kept.
    #[test]
    fn limits_lose_no_record(format in format(), input in bytes(), record_bytes_max in 1_usize..30) {
        let records = read(&input, Options { record_bytes_max, ..Options::new(format) });
        let mut at = if input.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let mut is_cut = false;
        for (_, line, offset, raw, has_defect) in &records {
            let offset = usize::try_from(*offset).unwrap();
            prop_assert!(raw.len() <= record_bytes_max);
            prop_assert_eq!(&input[offset..offset + raw.len()], raw.as_slice());
            prop_assert_eq!(*line, line_of(format, &input, offset));
            prop_assert!(between(format, &input[at..offset], is_cut), "nothing is lost before {}", offset);
            at = offset + raw.len();
            is_cut = *has_defect && raw.len() == record_bytes_max;
        }
        prop_assert!(between(format, &input[at..], is_cut), "nothing is lost at the end");
    }

    /// Rows and fields are those of the `csv` crate, where every quote is closed.
    #[test]
    fn csv_is_what_the_csv_crate_reads(rows in prop::collection::vec(prop::collection::vec("[a\"\n\r, é]{0,4}", 1..4), 0..6)) {
        let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
        for row in &rows {
            writer.write_record(row).unwrap();
        }
        let input = writer.into_inner().unwrap();
        let mut found = Vec::new();
        for chunk in Chunks::new(input.as_slice(), Options { chunk_bytes: 7, ..Options::new(Format::Csv) }) {
            let parsed = CsvRows::parse(&chunk.unwrap(), b',');
            found.extend(parsed.iter().map(|row| row.unwrap().fields().map(str::to_owned).collect::<Vec<_>>()));
        }
        prop_assert_eq!(found, rows);
    }

    /// An array of any elements gives those elements, and so do the same documents one after the other.
    #[test]
    fn json_elements_are_found(texts in prop::collection::vec("\\PC{0,8}", 0..5), pretty in any::<bool>()) {
        let objects: Vec<_> = texts.iter().map(|text| serde_json::json!({"k": [text, {text: 1}]})).collect();
        let write = |value: &serde_json::Value| {
            if pretty { serde_json::to_string_pretty(value).unwrap() } else { value.to_string() }
        };
        let array = write(&serde_json::Value::Array(objects.clone()));
        let documents = objects.iter().map(write).collect::<Vec<_>>().join(if pretty { "\n" } else { "" });
        for input in [array, documents] {
            let options = Options { chunk_bytes: 5, ..Options::new(Format::Json) };
            let found: Vec<serde_json::Value> =
                read(input.as_bytes(), options).iter().map(|(_, _, _, raw, _)| serde_json::from_slice(raw).unwrap()).collect();
            prop_assert_eq!(&found, &objects);
        }
    }

    /// The hash at the end of a chunk is that of the file up to there, and the last chunk's that of what was passed.
    #[test]
    fn chunks_know_the_hash_of_the_file_so_far(format in format(), input in bytes(), chunk_bytes in 1_usize..40) {
        let mut chunks = Chunks::new(input.as_slice(), Options { chunk_bytes, ..Options::new(format) });
        for chunk in chunks.by_ref() {
            let chunk = chunk.unwrap();
            let end = usize::try_from(chunk.end()).unwrap();
            prop_assert_eq!(chunk.content_hash(), xxh3_128(&input[..end]));
        }
        prop_assert_eq!(chunks.offset(), input.len() as u64);
        prop_assert_eq!(chunks.content_hash(), xxh3_128(&input));
    }

    /// A chunk that is split anywhere holds the same records, and those before the place start before it.
    #[test]
    fn a_split_chunk_holds_the_same_records(format in format(), input in bytes(), at in 0_u64..210) {
        for chunk in Chunks::new(input.as_slice(), Options::new(format)).map(Result::unwrap) {
            let whole: Vec<_> = chunk.records().map(|record| (record.position, record.raw.to_vec(), record.defect)).collect();
            let starts = whole.iter().map(|(position, ..)| position.offset);
            let before = starts.filter(|offset| *offset < at).count();
            let (head, tail) = chunk.split_at(at);
            prop_assert_eq!(head.len(), before);
            let halves: Vec<_> = head.records().chain(tail.records())
                .map(|record| (record.position, record.raw.to_vec(), record.defect)).collect();
            prop_assert_eq!(halves, whole);
        }
    }

    /// A file that cannot be read on gives the records before that, the last of them marked if they may go on, and then the error.
    #[test]
    fn damage_comes_after_what_was_good(format in format(), input in bytes(), chunk_bytes in 1_usize..40) {
        let options = Options { chunk_bytes, ..Options::new(format) };
        let whole = read(&input, options);
        let mut chunks = Chunks::new(std::io::Read::chain(input.as_slice(), Broken), options);
        let (mut records, mut failed) = (Vec::new(), false);
        for chunk in chunks.by_ref() {
            match chunk {
                Ok(chunk) => {
                    prop_assert!(!failed, "nothing comes after the error");
                    let of_chunk = chunk.records().map(|record| (record.raw.to_vec(), record.defect == Some(Defect::Cut)));
                    records.extend(of_chunk);
                }
                Err(error) => {
                    failed = true;
                    let at_end = matches!(error, Error::Read { offset, .. } if offset == input.len() as u64);
                    prop_assert!(at_end);
                }
            }
        }
        prop_assert!(failed);
        prop_assert_eq!(records.len(), whole.len());
        // Those that may go on are the last ones: one, or of rows all behind a quote that is not closed.
        let first_cut = records.iter().position(|(_, cut)| *cut).unwrap_or(records.len());
        prop_assert!(records[first_cut..].iter().all(|(_, cut)| *cut));
        prop_assert!(records.len() - first_cut <= 1 || format == Format::Csv);
        let last = records.last();
        let is_open = !input.ends_with(b"\n") && !input.ends_with(b"\r") && format == Format::Jsonl;
        prop_assert!(!is_open || last.is_none_or(|(raw, cut)| *cut || !input.ends_with(raw)));
    }
}

/// What fails as soon as it is read.
struct Broken;

impl std::io::Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("broken"))
    }
}
