//! Dates, hours and their printed forms.

use proptest::prelude::*;
use rowmill_rowkey::{Date, Hour, Timestamp};

use crate::strategies::{date, timestamp};

proptest! {
    #[test]
    fn dates_and_hours_print_and_parse(time in timestamp()) {
        prop_assert_eq!(time.date().to_string().parse::<Date>().unwrap(), time.date());
        prop_assert_eq!(time.hour().to_string().parse::<Hour>().unwrap(), time.hour());
        let start = time.hour().start();
        prop_assert!(start <= time && time.micros() - start.micros() < 3_600_000_000);
        prop_assert_eq!(time.hour().date().hour(time.hour().of_day()), time.hour());
    }

    #[test]
    fn printed_dates_sort_as_dates(a in date(), b in date()) {
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
    }

    #[test]
    fn a_week_opens_on_its_monday(day in date()) {
        let monday = day.monday();
        let later = (0..7).filter_map(|days| monday.plus_days(days)).position(|other| other == day);
        prop_assert!(later.is_some());
        prop_assert_eq!(monday.monday(), monday);
    }
}

#[test]
fn known_dates() {
    let check = |text: &str, monday: &str| {
        assert_eq!(text.parse::<Date>().unwrap().monday().to_string(), monday)
    };
    check("2018-11-01", "2018-10-29");
    check("2018-11-05", "2018-11-05");
    check("2021-01-03", "2020-12-28");
    check("1969-12-31", "1969-12-29");
    check("0001-01-01", "0001-01-01");
    for wrong in [
        "2018-02-29",
        "2018-13-01",
        "2018-1-01",
        "18-01-01",
        "2018-01-01 ",
        "+018-01-01",
        "0000-12-31",
    ] {
        assert!(wrong.parse::<Date>().is_err(), "{wrong}");
    }
    assert!("2018-11-01T24".parse::<Hour>().is_err());
}

#[test]
fn timestamps_print_as_rfc3339() {
    let check =
        |micros, text: &str| assert_eq!(Timestamp::from_micros(micros).unwrap().to_string(), text);
    check(1_541_105_830_796_000, "2018-11-01T20:57:10.796Z");
    check(1_541_105_830_000_000, "2018-11-01T20:57:10Z");
    check(1_541_105_830_000_001, "2018-11-01T20:57:10.000001Z");
    check(-1, "1969-12-31T23:59:59.999999Z");
    check(Timestamp::MAX.micros(), "9999-12-31T23:59:59.999999Z");
    check(Timestamp::MIN.micros(), "0001-01-01T00:00:00Z");
}
