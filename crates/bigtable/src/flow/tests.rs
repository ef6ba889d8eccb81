//! The rate climbs and falls within bounds, and never gets stuck.

use futures::FutureExt as _;
use proptest::prelude::*;
use rowmill_store::Wait;
use rowmill_store::testing::ManualTimer;

use super::*;

fn info(factor: f64, seconds: i64) -> RateLimitInfo {
    RateLimitInfo {
        period: Some(prost_types::Duration { seconds, nanos: 0 }),
        factor,
    }
}

/// Takes the next turn, and gives how long it had to be waited for.
fn book(rate: &mut Rate, now: Instant) -> Duration {
    let wait = rate.wait(now);
    rate.take(now + wait);
    wait
}

/// Sends as fast as the rate allows for `seconds`, and gives how many requests went.
fn send(rate: &mut Rate, now: &mut Instant, seconds: f64) -> u32 {
    let end = *now + Duration::from_secs_f64(seconds);
    let mut sent = 0;
    while *now < end {
        let wait = book(rate, *now);
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
        assert_eq!(book(&mut rate, now), Duration::ZERO);
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

#[test]
fn a_rate_heals_when_the_service_has_fallen_silent() {
    let mut now = rowmill_store::SystemTimer.now();
    let mut rate = Rate::new(now);
    rate.limit = Some(RATE_MIN);
    let minute = Duration::from_mins(1);
    rate.told(&info(1.0, 10), now);
    for _ in 0..40 {
        send(&mut rate, &mut now, 30.0);
        rate.ended(Code::Ok, Duration::ZERO, now);
    }
    assert!(rate.limit.unwrap() > 10.0, "{rate:?}");
    // What fails does not heal it.
    let before = rate.limit;
    now = rate.hold_until + 2 * minute;
    rate.ended(Code::PermissionDenied, Duration::ZERO, now);
    assert_eq!(rate.limit, before);
}

/// A clock on which whoever sleeps waits until it is moved on.
#[derive(Debug, Default)]
struct Clock(ManualTimer);

impl Timer for Clock {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> Wait {
        self.0.until(self.0.now() + duration)
    }

    fn until(&self, moment: Instant) -> Wait {
        self.0.until(moment)
    }
}

#[tokio::test]
async fn who_gives_up_leaves_the_turn_to_the_others() {
    let timer = Arc::new(Clock::default());
    let limiter = Limiter::new(timer.clone());
    limiter.rate.lock().unwrap().limit = Some(1.0);
    let never = timer.now() + Duration::from_hours(1);
    assert!(limiter.turn(never).await);
    for _ in 0..100 {
        assert!(limiter.turn(never).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    let counted = limiter.rate.lock().unwrap().counted;
    assert_eq!(counted, 1, "only what went is counted");
    timer.0.advance(Duration::from_secs(1));
    assert_eq!(limiter.turn(never).now_or_never(), Some(true));
    // A turn at the deadline, or after it, is none.
    let soon = timer.now() + Duration::from_millis(500);
    assert_eq!(limiter.turn(soon).now_or_never(), Some(false));
    assert_eq!(limiter.turn(timer.now()).now_or_never(), Some(false));
    assert_eq!(limiter.rate.lock().unwrap().counted, 2);
}

proptest! {
    /// From the lowest rate it climbs, however long the periods are for which the service speaks.
    #[test]
    fn it_climbs_from_the_lowest_rate(seconds in 1..60_i64, offset in 0.0..1.0_f64) {
        let mut now = rowmill_store::SystemTimer.now();
        let mut rate = Rate::new(now);
        rate.limit = Some(RATE_MIN);
        for _ in 0..12 {
            #[expect(clippy::cast_precision_loss, reason = "seconds of a minute are few")]
            send(&mut rate, &mut now, seconds as f64 + offset);
            rate.told(&info(1.3, seconds), now);
        }
        prop_assert!(rate.limit.unwrap() > 4.0, "{:?}", rate);
    }

    /// Whatever the service says and whatever happens, requests go: at least one a second.
    #[test]
    fn no_words_of_the_service_stop_it(events in prop::collection::vec((any::<f64>(), -5..40_i64, 0..8_u32, any::<bool>()), 0..60)) {
        let mut now = rowmill_store::SystemTimer.now();
        let mut rate = Rate::new(now);
        for (factor, seconds, sends, fails) in events {
            for _ in 0..sends {
                now += book(&mut rate, now);
            }
            rate.told(&info(factor, seconds), now);
            if fails {
                rate.ended(Code::Unavailable, Duration::ZERO, now);
            }
            now += Duration::from_secs(3);
            let wait = book(&mut rate, now);
            prop_assert!(wait <= Duration::from_secs(2), "{wait:?}");
            now += wait;
            if let Some(limit) = rate.limit {
                prop_assert!((RATE_MIN..=RATE_MAX).contains(&limit));
            }
        }
    }
}
