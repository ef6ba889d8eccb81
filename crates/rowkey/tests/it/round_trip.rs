//! Both directions of every key, and what is refused.

use proptest::prelude::*;
use rowmill_rowkey::{
    AggregateKey, DeadLetterKey, DimensionValue, ErrorKind, FactKey, FileKey, KEY_BYTES_MAX,
    PART_BYTES_MAX, Part, PastLedgerKey, PendingKey, ResolvedKey, RunFilesKey, RunKey, TimelineKey,
    Timestamp,
};

use crate::strategies::{date, part, timestamp};

proptest! {
    #[test]
    fn fact_and_timeline_keys(user in part(), time in timestamp(), event in part()) {
        let key = FactKey::new(user, time, event);
        let bytes = key.encode().unwrap();
        prop_assert_eq!(FactKey::decode(&bytes).unwrap(), key.clone());
        prop_assert_eq!(bytes.iter().filter(|&&byte| byte == b'#').count(), 2);
        let timeline = TimelineKey { fact: key };
        let bytes = timeline.encode().unwrap();
        prop_assert_eq!(TimelineKey::decode(&bytes).unwrap(), timeline);
    }

    #[test]
    fn aggregate_keys(dimension in part(), value in part(), repeat in 1_usize..600, date in date()) {
        let value = value.repeat(repeat);
        let key = AggregateKey::new(dimension, value.as_str(), date);
        let bytes = key.encode().unwrap();
        prop_assert!(bytes.len() <= KEY_BYTES_MAX);
        let decoded = AggregateKey::decode(&bytes).unwrap();
        prop_assert_eq!(&decoded, &key);
        match decoded.value {
            DimensionValue::Whole(text) => prop_assert_eq!(text, value),
            DimensionValue::Cut { head, .. } => prop_assert!(value.starts_with(&*head) && head.len() > 300),
        }
    }

    #[test]
    fn state_keys(source in part(), offset in any::<u64>(), content in any::<u128>(), time in timestamp()) {
        let letter = DeadLetterKey { source: source.as_str().into(), offset, content };
        let bytes = letter.encode().unwrap();
        prop_assert_eq!(DeadLetterKey::decode(&bytes).unwrap(), letter.clone());
        prop_assert!(DeadLetterKey::of_source(&source).unwrap().contains(&bytes));
        for from in [0, offset / 2, offset, offset.saturating_add(1)] {
            let range = DeadLetterKey::from_place(&source, from).unwrap();
            prop_assert_eq!(range.contains(&bytes), from <= offset);
        }
        let resolved = ResolvedKey(letter);
        let bytes = resolved.encode().unwrap();
        prop_assert!(ResolvedKey::all().contains(&bytes));
        prop_assert_eq!(ResolvedKey::decode(&bytes).unwrap(), resolved);
        let file = FileKey(source.as_str().into());
        let bytes = file.encode().unwrap();
        prop_assert!(FileKey::all().contains(&bytes));
        prop_assert_eq!(FileKey::decode(&bytes).unwrap(), file);
        let run = source.as_str().into();
        let past = PastLedgerKey { source: source.as_str().into(), run };
        let bytes = past.encode().unwrap();
        prop_assert!(PastLedgerKey::all().contains(&bytes) && !FileKey::all().contains(&bytes));
        let page = RunFilesKey { run: source.as_str().into(), page: 7 }.encode().unwrap();
        prop_assert!(page.ends_with(b"#0000000007") && !FileKey::all().contains(&page));
        let pending = PendingKey(time.hour());
        prop_assert_eq!(PendingKey::decode(&pending.encode()).unwrap(), pending);
        let run = RunKey(source.as_str().into());
        let bytes = run.encode().unwrap();
        prop_assert_eq!(RunKey::decode(&bytes).unwrap(), run);
    }

    /// Whatever decodes was written by the encoder: so no two different byte strings are one key.
    #[test]
    fn decoding_is_injective(bytes in "[a#%237~A0-9]{0,60}") {
        if let Ok(key) = FactKey::decode(bytes.as_bytes()) {
            prop_assert_eq!(key.encode().unwrap(), bytes.as_bytes());
        }
        if let Ok(key) = AggregateKey::decode(bytes.as_bytes()) {
            prop_assert_eq!(key.encode().unwrap(), bytes.as_bytes());
        }
        if let Ok(key) = DeadLetterKey::decode(bytes.as_bytes()) {
            prop_assert_eq!(key.encode().unwrap(), bytes.as_bytes());
        }
    }

    /// Any bytes at all decode or fail, and never panic.
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = FactKey::decode(&bytes);
        let _ = TimelineKey::decode(&bytes);
        let _ = AggregateKey::decode(&bytes);
        let _ = DeadLetterKey::decode(&bytes);
        let _ = PendingKey::decode(&bytes);
        let _ = RunKey::decode(&bytes);
        let _ = FileKey::decode(&bytes);
        let _ = ResolvedKey::decode(&bytes);
    }
}

#[test]
fn errors_name_the_part() {
    let time = Timestamp::from_micros(0).unwrap();
    let check = |key: FactKey<'_>, part, text: &str| {
        let error = key.encode().unwrap_err();
        assert_eq!((error.part(), error.to_string().as_str()), (part, text));
    };
    check(
        FactKey::new("", time, "e"),
        Part::UserId,
        "user_id is empty",
    );
    check(
        FactKey::new("u", time, ""),
        Part::EventId,
        "event_id is empty",
    );
    let long = "x".repeat(PART_BYTES_MAX + 1);
    check(
        FactKey::new("u", time, long.as_str()),
        Part::EventId,
        "event_id takes 1025 bytes in a row key, at most 1024 are allowed",
    );
    let escaped = "#".repeat(PART_BYTES_MAX / 3 + 1);
    check(
        FactKey::new(escaped.as_str(), time, "e"),
        Part::UserId,
        "user_id takes 1026 bytes in a row key, at most 1024 are allowed",
    );
    assert_eq!(
        Timestamp::from_micros(i64::MAX).unwrap_err().kind(),
        ErrorKind::OutOfRange
    );
    assert_eq!(
        FactKey::decode(b"user").unwrap_err().part(),
        Part::Timestamp
    );
    assert_eq!(
        AggregateKey::decode(b"song#x#2018-02-30")
            .unwrap_err()
            .part(),
        Part::Date
    );
}

#[test]
fn the_longest_parts_fit_every_key() {
    let long = "x".repeat(PART_BYTES_MAX);
    let fact = FactKey::new(long.as_str(), Timestamp::MIN, long.as_str());
    assert!(TimelineKey { fact }.encode().unwrap().len() <= KEY_BYTES_MAX);
    // What no key can be made of is none either.
    for value in [
        "x".repeat(PART_BYTES_MAX + 1),
        "%23".repeat(PART_BYTES_MAX / 3 + 1),
    ] {
        let key = format!("song#{value}#2018-11-15");
        let error = AggregateKey::decode(key.as_bytes()).unwrap_err();
        assert_eq!(error.part(), Part::DimensionValue);
    }
}

/// The layout is a contract: these bytes must never change.
#[test]
fn golden_keys() {
    let time = Timestamp::from_micros(1_542_291_826_796_000).unwrap();
    let check =
        |bytes: Vec<u8>, expected: &str| assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    let fact = FactKey::new("a%b#c\nd é", time, "583.0");
    check(
        fact.encode().unwrap(),
        "a%25b%23c%0Ad é#09221829745027979807#583.0",
    );
    check(
        TimelineKey { fact }.encode().unwrap(),
        "09#2018-11-15T14#a%25b%23c%0Ad é#09221829745027979807#583.0",
    );
    check(
        AggregateKey::new("song", "#1", time.date())
            .encode()
            .unwrap(),
        "song#%231#2018-11-15",
    );
    check(PendingKey(time.hour()).encode(), "pending#2018-11-15T14");
    let letter = DeadLetterKey {
        source: "a.csv".into(),
        offset: 17,
        content: 0xab,
    };
    let letter_key = "a.csv#00000000000000000017#000000000000000000000000000000ab";
    check(letter.encode().unwrap(), letter_key);
    check(
        ResolvedKey(letter).encode().unwrap(),
        &format!("resolved#{letter_key}"),
    );
    check(FileKey("a#.csv".into()).encode().unwrap(), "file#a%23.csv");
}
