//! Valid parts of any shape, weighted towards the characters that could break a key.

use proptest::prelude::*;
use rowmill_rowkey::{Date, Timestamp};

/// A text part: short, never empty, rich in separators, escapes, control bytes and wide characters.
pub(crate) fn part() -> impl Strategy<Value = String> {
    let awkward = prop::sample::select(vec![
        '#',
        '%',
        '\n',
        '\0',
        '\u{7f}',
        '2',
        '3',
        'a',
        '~',
        'é',
        '\u{10ffff}',
        '\u{85}',
    ]);
    let character = prop_oneof![3 => awkward, 1 => any::<char>()];
    prop::collection::vec(character, 1..12).prop_map(String::from_iter)
}

pub(crate) fn timestamp() -> impl Strategy<Value = Timestamp> {
    (Timestamp::MIN.micros()..=Timestamp::MAX.micros())
        .prop_map(|micros| Timestamp::from_micros(micros).unwrap())
}

/// Times close to each other, so that neighbours in a key space are met.
pub(crate) fn near_timestamp() -> impl Strategy<Value = Timestamp> {
    (-50_i64..50).prop_map(|micros| Timestamp::from_micros(micros).unwrap())
}

pub(crate) fn date() -> impl Strategy<Value = Date> {
    timestamp().prop_map(Timestamp::date)
}
