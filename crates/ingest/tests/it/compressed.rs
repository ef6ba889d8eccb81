//! Compressed files: their content whatever the parts they are made of, and what is good of those that are damaged.

use std::io::{Read as _, Write as _};

use flate2::write::GzEncoder;
use proptest::prelude::*;
use rowmill_ingest::{Compression, Error, ReadAhead};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

const BOTH: [Compression; 2] = [Compression::Gzip, Compression::Zstd];

fn compress(compression: Compression, content: &[u8]) -> Vec<u8> {
    match compression {
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => compress_to_vec(content, CompressionLevel::Fastest),
    }
}

/// All that can be read, and whether that was everything; on a thread of its own or not.
fn decompress(compression: Compression, bytes: &[u8]) -> (Vec<u8>, bool) {
    let open = || compression.decompress(std::io::Cursor::new(bytes.to_vec()));
    let read_all = |mut input: Box<dyn std::io::Read>| {
        let mut content = Vec::new();
        let read = input.read_to_end(&mut content);
        (content, read.is_ok())
    };
    let found = read_all(open());
    assert_eq!(found, read_all(Box::new(ReadAhead::new(open()))));
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever members or frames a file is made of, empty ones too, it is told by its content and gives all of it.
    #[test]
    fn parts_follow_each_other(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3_000), 1..4)) {
        for compression in BOTH {
            let file: Vec<u8> = parts.iter().flat_map(|part| compress(compression, part)).collect();
            prop_assert_eq!(Compression::detect(&file).unwrap(), Some(compression));
            prop_assert_eq!(decompress(compression, &file), (parts.concat(), true));
        }
    }

    /// A file that was cut gives a beginning of its content, and says that it is not all.
    #[test]
    fn a_cut_file_gives_its_beginning(content in prop::collection::vec(b'a'..b'e', 1..5_000), cut in 0.0..1.0_f64) {
        for compression in BOTH {
            let mut file = compress(compression, &content);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a small file")]
            file.truncate(1 + (cut * (file.len() - 1) as f64) as usize);
            let (found, whole) = decompress(compression, &file);
            prop_assert!(content.starts_with(&found));
            prop_assert!(!whole);
        }
    }
}

#[test]
fn bits_that_changed_are_noticed() {
    for compression in BOTH {
        let content = "so it goes ".repeat(1_000);
        let mut file = compress(compression, content.as_bytes());
        let last = file.len() - 2;
        file[last] ^= 1;
        assert!(!decompress(compression, &file).1, "{compression:?}");
    }
}

#[test]
fn frames_without_content_are_passed() {
    let skippable = [
        &[0x50, 0x2a, 0x4d, 0x18][..],
        &5_u32.to_le_bytes(),
        b"hello",
    ]
    .concat();
    let file = [
        compress(Compression::Zstd, b"one "),
        skippable,
        compress(Compression::Zstd, b"two"),
    ];
    assert_eq!(
        decompress(Compression::Zstd, &file.concat()),
        (b"one two".to_vec(), true)
    );
}

#[test]
fn other_compressions_are_said() {
    assert_eq!(Compression::detect(b"a,b\n").unwrap(), None);
    assert_eq!(Compression::detect(b"").unwrap(), None);
    let error = Compression::detect(b"\xfd7zXZ\0").unwrap_err();
    assert!(matches!(error, Error::Compressed("xz")));
    assert_eq!(
        Compression::detect(b"BZh9").unwrap_err().to_string(),
        "the file is compressed with bzip2, and gzip and zstd are read; give its content on standard input"
    );
}
