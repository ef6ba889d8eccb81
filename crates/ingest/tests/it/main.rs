//! Where records start and end, in every format, whatever the bytes.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails loudly"
)]

mod cases;
mod compressed;
mod properties;
mod real;
mod work;

use rowmill_ingest::{Chunks, Format, Options};

/// A record as tests see it: number, line, offset, bytes, and whether it has a defect.
pub(crate) type Found = (u64, u64, u64, Vec<u8>, bool);

pub(crate) fn read(input: &[u8], options: Options) -> Vec<Found> {
    let mut found = Vec::new();
    for chunk in Chunks::new(input, options) {
        for record in chunk.unwrap().records() {
            let place = record.position;
            assert_eq!(place.length, record.raw.len() as u64);
            found.push((
                place.number,
                place.line,
                place.offset,
                record.raw.to_vec(),
                record.defect.is_some(),
            ));
        }
    }
    found
}

/// Records as `line:text`, those with a defect marked.
pub(crate) fn show(input: &str, format: Format) -> Vec<String> {
    let mark = |defect| if defect { "!" } else { "" };
    let records = read(input.as_bytes(), Options::new(format));
    records
        .into_iter()
        .map(|(_, line, _, raw, defect)| {
            format!("{line}:{}{}", String::from_utf8_lossy(&raw), mark(defect))
        })
        .collect()
}
