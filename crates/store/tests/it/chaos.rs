//! What `--chaos` takes, and what it says of the rest.

use std::time::Duration;

use rowmill_store::Chaos;

#[test]
fn settings_are_read_and_shown() {
    let text =
        "unavailable=2%,lost-reply=1%,lost-write=0.5%,slow=50ms:5%,slow-read=2000ms:10%,kill-at=40";
    let chaos: Chaos = text.parse().unwrap();
    assert_eq!(
        chaos,
        Chaos {
            unavailable: 0.02,
            lost_reply: 0.01,
            lost_write: 0.005,
            slow: Some((Duration::from_millis(50), 0.05)),
            slow_read: Some((Duration::from_secs(2), 0.1)),
            kill_at: Some(40),
        }
    );
    assert_eq!(chaos.to_string(), text);
    let slow: Chaos = "slow=2s:100%".parse().unwrap();
    assert_eq!(slow.slow, Some((Duration::from_secs(2), 1.0)));
}

#[test]
fn what_is_wrong_is_said() {
    let check = |text: &str, expected: &str| {
        assert_eq!(text.parse::<Chaos>().unwrap_err(), expected);
    };
    check("", "`` is no NAME=VALUE");
    check("unavailable", "`unavailable` is no NAME=VALUE");
    check("unavailable=2", "`2` is no share such as 2%");
    check("unavailable=101%", "`101%` is no share such as 2%");
    check("slow=5%", "`5%` is no delay and share such as 50ms:5%");
    check(
        "slow=50:5%",
        "`50:5%` is no delay and share such as 50ms:5%",
    );
    check("kill-at=0", "`0` is no number of a write, from 1");
    check(
        "lost=1%",
        "`lost` is no fault; there are unavailable, lost-reply, lost-write, slow, slow-read, kill-at",
    );
    check(
        "unavailable=60%,lost-reply=60%",
        "the shares of unavailable, lost-reply and lost-write are over 100% together",
    );
}
