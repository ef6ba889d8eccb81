//! Order of keys, and what prefixes and ranges select.

use proptest::prelude::*;
use rowmill_rowkey::{AggregateKey, Date, FactKey, Hour, KeyRange, TIMELINE_BUCKETS, TimelineKey};

use crate::strategies::{date, near_timestamp, part, timestamp};

fn bytes(user: &str, time: rowmill_rowkey::Timestamp, event: &str) -> Vec<u8> {
    FactKey::new(user, time, event).encode().unwrap()
}

proptest! {
    #[test]
    fn one_users_keys_sort_newest_first(user in part(), a in timestamp(), b in timestamp(), e in part(), f in part()) {
        prop_assume!(a != b);
        prop_assert_eq!(bytes(&user, a, &e) < bytes(&user, b, &f), a > b);
    }

    /// The other id is made from the first one, so it is often a prefix, an extension or a look-alike of it.
    #[test]
    fn a_user_prefix_selects_that_user_alone(user in part(), tail in part(), time in timestamp(), event in part()) {
        let range = FactKey::user(&user).unwrap();
        prop_assert!(range.contains(&bytes(&user, time, &event)));
        for other in [format!("{user}{tail}"), format!("{tail}{user}"), format!("{user}#"), format!("{user}%23"), tail] {
            prop_assert_eq!(range.contains(&bytes(&other, time, &event)), other == user);
        }
    }

    #[test]
    fn a_time_range_is_half_open(
        user in part(), event in part(), time in near_timestamp(), from in near_timestamp(), to in near_timestamp(),
    ) {
        let key = bytes(&user, time, &event);
        let selects = |from, to| FactKey::user_between(&user, from, to).unwrap().contains(&key);
        prop_assert_eq!(selects(Some(from), Some(to)), from <= time && time < to);
        prop_assert_eq!(selects(Some(from), None), from <= time);
        prop_assert_eq!(selects(None, Some(to)), time < to);
        prop_assert!(selects(None, None));
    }

    #[test]
    fn a_value_between_dates_includes_both(value in part(), other in part(), day in date(), shift in -3_i32..3, span in 0_i32..3) {
        let (Some(from), Some(to)) = (day.plus_days(shift), day.plus_days(shift + span)) else { return Ok(()) };
        let range = AggregateKey::value_between("song", &value, Some(from), Some(to)).unwrap();
        let key = |value: &str| AggregateKey::new("song", value, day).encode().unwrap();
        prop_assert_eq!(range.contains(&key(&value)), from <= day && day <= to);
        prop_assert_eq!(range.contains(&key(&other)), other == value && from <= day && day <= to);
        prop_assert!(AggregateKey::dimension("song").unwrap().contains(&key(&value)));
        prop_assert!(!AggregateKey::dimension("son").unwrap().contains(&key(&value)));
    }

    #[test]
    fn an_hour_is_read_bucket_by_bucket(user in part(), event in part(), time in timestamp()) {
        let key = TimelineKey { fact: FactKey::new(user, time, event) }.encode().unwrap();
        let hits = |hour: Hour| (0..TIMELINE_BUCKETS).filter(|&b| TimelineKey::hours(b, hour, hour).contains(&key)).count();
        prop_assert_eq!(hits(time.hour()), 1);
        if let Some(next) = time.hour().next() {
            prop_assert_eq!(hits(next), 0);
        }
    }
}

#[test]
fn timeline_buckets_are_even() {
    let mut counts = [0_u32; TIMELINE_BUCKETS as usize];
    for n in 0..16_000 {
        let fact = FactKey::new(
            format!("{}", n % 97),
            Date::from_civil(2018, 11, 1).unwrap().start(),
            format!("{n}"),
        );
        let key = TimelineKey { fact }.encode().unwrap();
        let bucket: usize = std::str::from_utf8(&key[..2]).unwrap().parse().unwrap();
        counts[bucket] += 1;
    }
    assert!(
        counts.iter().all(|count| (800..1_200).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn prefixes_end_after_their_last_key() {
    let check = |prefix: &[u8], end: Option<&[u8]>| {
        assert_eq!(KeyRange::prefix(prefix.to_vec()).end.as_deref(), end);
    };
    check(b"ab", Some(b"ac"));
    check(b"a\xff", Some(b"b"));
    check(b"\xff\xff", None);
    check(b"", None);
    assert!(
        KeyRange::single(b"a".to_vec()).contains(b"a")
            && !KeyRange::single(b"a".to_vec()).contains(b"a\0")
    );
}
