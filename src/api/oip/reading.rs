//! How much of a message is looked at: it is read before it is known whether there is room
//! for its rows, on a thread that reads sockets, and nothing but its elements may be long.

use super::super::wire::{self, Malformed, Wire};

/// Most fields of a request with all that lies in it: so many inputs and outputs as there
/// may be have fewer.
const MOST_FIELDS: usize = 16 * 1024;

/// Most bytes of its texts and of groups, which are passed over, together.
const MOST_TEXT: usize = 256 * 1024;

/// What may still be read of a request.
#[derive(Debug)]
pub(super) struct Reading {
    fields: usize,
    text: usize,
}

impl Default for Reading {
    fn default() -> Self {
        Self { fields: MOST_FIELDS, text: MOST_TEXT }
    }
}

impl Reading {
    /// Takes the next field off the bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where none begins there, or it is one too many.
    pub(super) fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<(u32, Wire<'a>), Malformed> {
        self.fields = self.fields.checked_sub(1).ok_or(Malformed::ManyFields(MOST_FIELDS))?;
        let before = bytes.len();
        let field = wire::next(bytes)?;
        if matches!(field.1, Wire::Other) {
            self.look_at(before - bytes.len())?;
        }
        Ok(field)
    }

    /// The text that a field holds.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where it is none, or all are too long.
    pub(super) fn text<'a>(&mut self, value: Wire<'a>) -> Result<&'a str, Malformed> {
        self.look_at(value.bytes()?.len())?;
        value.text()
    }

    fn look_at(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.text = self.text.checked_sub(bytes).ok_or(Malformed::MuchText(MOST_TEXT))?;
        Ok(())
    }
}
