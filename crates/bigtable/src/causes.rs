//! Errors of other libraries as one line of text.

/// An error and what is behind it, on one line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    one_line(&chain(error))
}

/// The last of what is behind an error: libraries say first that they failed, and last why.
pub(crate) fn last_causes(error: &dyn std::error::Error) -> String {
    const LAST: usize = 3;
    let chain = chain(error);
    one_line(&chain[chain.len().saturating_sub(LAST)..])
}

fn chain(error: &dyn std::error::Error) -> Vec<String> {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect()
}

/// Texts joined by colons, without those that the one before quotes.
fn one_line(texts: &[String]) -> String {
    let mut line = String::new();
    for text in texts {
        if line.is_empty() {
            line.clone_from(text);
        } else if !line.contains(text) {
            line = format!("{line}: {text}");
        }
    }
    line
}
