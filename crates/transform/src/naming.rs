//! Stored names: the `snake_case` form of a source's name.

/// The stored name of a source's name: `userId` is `user_id`, `HTTPStatus2xx` is `http_status2xx`, `PT08.S1(CO)` is
/// `pt08_s1_co`.
///
/// A word starts at an upper-case letter after a lower-case one or a digit, at the last capital of a run that a
/// lower-case letter follows, and after anything that is neither letter nor digit. Folding a stored name gives itself.
/// A name without letters and digits has no stored name, and the result is empty.
pub fn stored_name(name: &str) -> String {
    let mut stored = String::with_capacity(name.len() + 4);
    let mut characters = name.chars().peekable();
    let mut previous = None;
    while let Some(current) = characters.next() {
        if current.is_alphanumeric() {
            let next = characters.peek().copied();
            if starts_word(previous, current, next) && !stored.is_empty() && !stored.ends_with('_')
            {
                stored.push('_');
            }
            stored.extend(
                current
                    .to_lowercase()
                    .filter(|lower| lower.is_alphanumeric()),
            );
        } else if !stored.is_empty() && !stored.ends_with('_') {
            stored.push('_');
        }
        previous = Some(current);
    }
    if stored.ends_with('_') {
        stored.pop();
    }
    stored
}

fn starts_word(previous: Option<char>, current: char, next: Option<char>) -> bool {
    let Some(previous) = previous.filter(|_| is_capital(current)) else {
        return false;
    };
    let after_small = previous.is_lowercase() || previous.is_numeric();
    let last_capital = is_capital(previous) && next.is_some_and(char::is_lowercase);
    after_small || last_capital
}

/// Whether folding changes the letter: some upper-case letters, of mathematics, have no small form.
fn is_capital(letter: char) -> bool {
    letter.is_uppercase() && !letter.to_lowercase().eq([letter])
}
