//! Who gave an order and why, as the history keeps it: words that anybody can
//! choose, on one line and of bounded length, and the address that they came from. Where
//! callers have to say who they are, the name is theirs and not chosen.

use crate::identity::Caller;

/// Longest name that is kept, in characters.
const NAME: usize = 64;

/// Longest reason that is kept, in characters.
const REASON: usize = 256;

/// `anna (127.0.0.1)`: who it is known to be, else who it says that it is.
pub(super) fn author(name: &str, caller: &Caller) -> String {
    let name = line(caller.name().unwrap_or(name), NAME);
    let name = if name.is_empty() { "somebody" } else { &name };
    match caller.address {
        // The port says nothing once the connection is closed.
        Some(address) => format!("{name} ({})", address.ip()),
        None => name.to_owned(),
    }
}

/// Why; may be empty.
pub(super) fn reason(reason: &str) -> String {
    line(reason, REASON)
}

fn line(text: &str, most: usize) -> String {
    let text = text.trim();
    let seen = |c: char| if c.is_control() || is_unseen(c) { '\u{fffd}' } else { c };
    let mut line: String = text.chars().take(most).map(seen).collect();
    if text.chars().nth(most).is_some() {
        line.push('…');
    }
    line
}

/// What shows nothing, or turns the direction of what follows around.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn author(name: &str, address: Option<std::net::SocketAddr>) -> String {
        super::author(name, &Caller { address, ..Caller::default() })
    }

    #[test]
    fn an_author_is_a_name_and_an_address() {
        assert_eq!(author("anna", Some(([10, 0, 0, 3], 41234).into())), "anna (10.0.0.3)");
        assert_eq!(author(" ", Some(([127, 0, 0, 1], 1).into())), "somebody (127.0.0.1)");
    }

    #[test]
    fn what_is_kept_is_short_and_can_be_printed() {
        assert_eq!(author("a\nb\u{1b}[31m\u{202e}c", None), "a\u{fffd}b\u{fffd}[31m\u{fffd}c");
        assert_eq!(author(&"杭".repeat(1000), None), format!("{}…", "杭".repeat(64)));
        assert_eq!(author(&"杭".repeat(64), None), "杭".repeat(64));
        assert_eq!(reason(&"x".repeat(1000)).chars().count(), 257);
        assert_eq!(reason(" a sale\n"), "a sale");
    }
}
