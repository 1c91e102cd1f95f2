//! Who gave an order, as the history keeps it: a name that anybody can claim, and
//! the address that it came from.

use std::net::SocketAddr;

use crate::error::shown;

/// `anna (127.0.0.1)`, on one line and of bounded length whatever the name is.
pub(super) fn author(name: &str, from: Option<SocketAddr>) -> String {
    let name = shown(name.trim()).replace(is_unseen, "\u{fffd}");
    let name = if name.is_empty() { "nobody in particular" } else { &name };
    match from {
        // The port says nothing once the connection is closed.
        Some(address) => format!("{name} ({})", address.ip()),
        None => name.to_owned(),
    }
}

/// What shows nothing, or turns the direction of what follows around.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_author_is_a_name_and_an_address() {
        assert_eq!(author("anna", Some(([10, 0, 0, 3], 41234).into())), "anna (10.0.0.3)");
        assert_eq!(author(" ", Some(([127, 0, 0, 1], 1).into())), "nobody in particular (127.0.0.1)");
    }

    #[test]
    fn a_name_is_short_and_can_be_printed() {
        assert_eq!(author("a\nb\u{1b}[31m\u{202e}c", None), "a\u{fffd}b\u{fffd}[31m\u{fffd}c");
        assert_eq!(author(&"杭".repeat(1000), None), format!("{}…", "杭".repeat(64)));
    }
}
