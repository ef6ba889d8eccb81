//! The rate climbs and falls within bounds, and never gets stuck.

use proptest::prelude::*;

use super::*;

fn info(factor: f64, seconds: i64) -> RateLimitInfo {
    RateLimitInfo {
        period: Some(prost_types::Duration { seconds, nanos: 0 }),
        factor,
    }
}

/// Sends as fast as the rate allows for `seconds`, and gives how many requests went.
fn send(rate: &mut Rate, now: &mut Instant, seconds: f64) -> u32 {
    let end = *now + Duration::from_secs_f64(seconds);
    let mut sent = 0;
    while *now < end {
        let wait = rate.book(*now);
        // Without a limit a request takes ten milliseconds.
        *now += wait.max(Duration::from_millis(if rate.limit.is_none() {
            10
        } else {
            0
        }));
        sent += 1;
        if wait.is_zero() && rate.limit.is_some() {
            *now += Duration::from_micros(10);
        }
    }
    sent
}

#[test]
fn nothing_is_held_back_before_the_service_speaks() {
    let mut now = rowmill_store::SystemTimer.now();
    let mut rate = Rate::new(now);
    for _ in 0..1_000 {
        assert_eq!(rate.book(now), Duration::ZERO);
    }
    // Overload alone does not start it; nor does an answer that says nothing.
    rate.ended(Code::Unavailable, Duration::ZERO, now);
    rate.told(&info(0.5, 0), now);
    rate.told(&info(f64::NAN, 10), now);
    rate.told(&info(-1.0, 10), now);
    assert_eq!(rate.limit, None);
    send(&mut rate, &mut now, 1.0);
    rate.told(&info(0.9, 10), now);
    assert!(rate.limit.is_some());
}

#[test]
fn a_factor_holds_for_its_period_and_within_bounds() {
    let now = rowmill_store::SystemTimer.now();
    let mut rate = Rate::new(now);
    rate.limit = Some(100.0);
    rate.told(&info(0.1, 10), now);
    assert_eq!(rate.limit, Some(70.0));
    rate.told(&info(0.1, 10), now + Duration::from_secs(9));
    assert_eq!(
        rate.limit,
        Some(70.0),
        "not again before the period is over"
    );
    rate.told(&info(0.8, 10), now + Duration::from_secs(10));
    assert_eq!(rate.limit, Some(56.0));
}

#[test]
fn a_rate_grows_only_when_it_is_used() {
    let mut now = rowmill_store::SystemTimer.now();
    let mut rate = Rate::new(now);
    rate.limit = Some(100.0);
    now += Duration::from_secs(10);
    rate.told(&info(1.3, 10), now);
    assert_eq!(rate.limit, Some(100.0), "nobody asked for more");
    send(&mut rate, &mut now, 10.0);
    rate.told(&info(2.0, 10), now);
    assert_eq!(rate.limit, Some(130.0));
}

#[test]
fn overload_and_slow_answers_brake_once_in_ten_seconds() {
    let now = rowmill_store::SystemTimer.now();
    let slow = Duration::from_secs(6);
    for (code, took) in [
        (Code::DeadlineExceeded, Duration::ZERO),
        (Code::Unavailable, Duration::ZERO),
        (Code::ResourceExhausted, Duration::ZERO),
        (Code::Ok, slow),
    ] {
        let mut rate = Rate::new(now);
        rate.limit = Some(100.0);
        rate.ended(code, took, now);
        rate.ended(code, took, now + Duration::from_secs(9));
        assert_eq!(rate.limit, Some(70.0), "{code:?}");
        rate.ended(code, took, now + Duration::from_secs(10));
        assert!(rate.limit.unwrap() < 70.0);
    }
    let mut rate = Rate::new(now);
    rate.limit = Some(100.0);
    rate.ended(Code::Ok, Duration::from_secs(1), now);
    rate.ended(Code::PermissionDenied, Duration::ZERO, now);
    assert_eq!(rate.limit, Some(100.0));
}

#[test]
fn from_the_lowest_rate_it_climbs_back_within_minutes() {
    let mut now = rowmill_store::SystemTimer.now();
    let mut rate = Rate::new(now);
    rate.limit = Some(100.0);
    for _ in 0..100 {
        now += Duration::from_secs(10);
        rate.told(&info(0.7, 10), now);
    }
    assert_eq!(rate.limit, Some(RATE_MIN));
    for _ in 0..18 {
        send(&mut rate, &mut now, 10.5);
        rate.told(&info(1.3, 10), now);
    }
    assert!(rate.limit.unwrap() > 100.0, "{rate:?}");
}

proptest! {
    /// Whatever the service says and whatever happens, requests go: at least one a second.
    #[test]
    fn no_words_of_the_service_stop_it(events in prop::collection::vec((any::<f64>(), -5..40_i64, 0..8_u32, any::<bool>()), 0..60)) {
        let mut now = rowmill_store::SystemTimer.now();
        let mut rate = Rate::new(now);
        for (factor, seconds, sends, fails) in events {
            for _ in 0..sends {
                now += rate.book(now);
            }
            rate.told(&info(factor, seconds), now);
            if fails {
                rate.ended(Code::Unavailable, Duration::ZERO, now);
            }
            now += Duration::from_secs(3);
            let wait = rate.book(now);
            prop_assert!(wait <= Duration::from_secs(2), "{wait:?}");
            now += wait;
            if let Some(limit) = rate.limit {
                prop_assert!((RATE_MIN..=RATE_MAX).contains(&limit));
            }
        }
    }
}
