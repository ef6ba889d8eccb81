//! How a store is to fail, as one line: `unavailable=2%,lost-reply=1%,slow=50ms:5%,slow-read=1s:10%,kill-at=40`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Shares are from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Chaos {
    /// Calls that fail before anything happened.
    pub unavailable: f64,
    /// Writes that happen, all of them or in part, and are reported as failed.
    pub lost_reply: f64,
    /// Writes that do not happen and are reported as done: what no store should do, and what verifying must find.
    pub lost_write: f64,
    /// Writes that take so much longer.
    pub slow: Option<(Duration, f64)>,
    /// Scans that take so much longer until their first row.
    pub slow_read: Option<(Duration, f64)>,
    /// The process dies at this write, counted from 1, with all of its rows, some, or none of them written.
    pub kill_at: Option<u64>,
}

impl FromStr for Chaos {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut chaos = Self::default();
        for setting in text.split(',') {
            let (name, value) = setting
                .split_once('=')
                .ok_or_else(|| format!("`{setting}` is no NAME=VALUE"))?;
            match name.trim() {
                "unavailable" => chaos.unavailable = share(value)?,
                "lost-reply" => chaos.lost_reply = share(value)?,
                "lost-write" => chaos.lost_write = share(value)?,
                "slow" => chaos.slow = Some(slow(value)?),
                "slow-read" => chaos.slow_read = Some(slow(value)?),
                "kill-at" => chaos.kill_at = Some(count(value)?),
                other => {
                    return Err(format!(
                        "`{other}` is no fault; there are unavailable, lost-reply, lost-write, slow, slow-read, kill-at"
                    ));
                }
            }
        }
        let shares = chaos.unavailable + chaos.lost_reply + chaos.lost_write;
        if shares > 1.0 {
            return Err(
                "the shares of unavailable, lost-reply and lost-write are over 100% together"
                    .to_owned(),
            );
        }
        Ok(chaos)
    }
}

fn share(text: &str) -> Result<f64, String> {
    let number = text
        .strip_suffix('%')
        .and_then(|share| share.trim().parse().ok());
    let percent = number.filter(|percent: &f64| (0.0..=100.0).contains(percent));
    percent
        .map(|percent| percent / 100.0)
        .ok_or_else(|| format!("`{text}` is no share such as 2%"))
}

fn slow(text: &str) -> Result<(Duration, f64), String> {
    let wanted = || format!("`{text}` is no delay and share such as 50ms:5%");
    let (delay, part) = text.split_once(':').ok_or_else(wanted)?;
    let millis = match delay.strip_suffix("ms") {
        Some(millis) => millis.parse().ok(),
        None => delay
            .strip_suffix('s')
            .and_then(|seconds| seconds.parse::<u64>().ok()?.checked_mul(1_000)),
    };
    Ok((
        Duration::from_millis(millis.ok_or_else(wanted)?),
        share(part)?,
    ))
}

fn count(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("`{text}` is no number of a write, from 1"))
}

impl fmt::Display for Chaos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| format!("{}%", share * 100.0);
        let mut settings = Vec::new();
        for (name, share) in [
            ("unavailable", self.unavailable),
            ("lost-reply", self.lost_reply),
            ("lost-write", self.lost_write),
        ] {
            if share > 0.0 {
                settings.push(format!("{name}={}", percent(share)));
            }
        }
        for (name, slow) in [("slow", self.slow), ("slow-read", self.slow_read)] {
            if let Some((delay, share)) = slow {
                settings.push(format!("{name}={}ms:{}", delay.as_millis(), percent(share)));
            }
        }
        if let Some(write) = self.kill_at {
            settings.push(format!("kill-at={write}"));
        }
        f.write_str(&settings.join(","))
    }
}
