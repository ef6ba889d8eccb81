//! Log lines on standard error, for whoever runs rowmill unattended.

use tracing_subscriber::filter::LevelFilter;

use crate::arguments::LogFormat;

/// Starts logging: what jobs did if a format was asked for, else only what somebody should look at.
pub(crate) fn start(format: Option<LogFormat>, quiet: bool) {
    let level = match format {
        _ if quiet => LevelFilter::ERROR,
        Some(_) => LevelFilter::INFO,
        None => LevelFilter::WARN,
    };
    let lines = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false);
    match format {
        Some(LogFormat::Json) => lines.json().init(),
        Some(LogFormat::Text) | None => lines.with_ansi(false).init(),
    }
}
