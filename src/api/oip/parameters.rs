//! Parameters of a request and of its tensors: those that have a meaning here, and those
//! that change the answer where a server follows them, which this one does not.

use std::time::Duration;

use super::{super::wire::Malformed, faults::fault, reading::Reading};
use crate::error::{ScoreError, shown};

/// Most parameters of a request, an input or an output.
pub(super) const MOST_PARAMETERS: usize = 64;

/// The parameters that have a meaning here.
#[derive(Debug, Default)]
pub(super) struct Parameters<'a> {
    pub(super) priority: u64,
    /// From the request's arrival on.
    pub(super) timeout: Option<Duration>,
    pub(super) entity_id: &'a str,
    /// Whether the reply is to say where its time went.
    pub(super) timing: bool,
    pub(super) count: usize,
}

/// The parameters of a tensor.
#[derive(Debug, Default)]
pub(super) struct OfTensor<'a> {
    count: usize,
    /// One that must not be ignored.
    refused: Option<&'a str>,
}

/// An `InferParameter`.
#[derive(Debug, Clone, Copy)]
enum Choice<'a> {
    Integer(i64),
    Unsigned(u64),
    Text(&'a str),
    Truth(bool),
    Other,
}

impl<'a> Parameters<'a> {
    /// Takes in one, as an entry of a map.
    pub(super) fn add(&mut self, bytes: &'a [u8], reading: &mut Reading) -> Result<(), ScoreError> {
        self.count += 1;
        if self.count > MOST_PARAMETERS {
            return Err(fault("parameters", format!("there are more than {MOST_PARAMETERS} in one request")));
        }
        let (key, value) = entry(bytes, reading).map_err(|malformed| fault("parameters", malformed.to_string()))?;
        match key {
            "priority" => self.priority = value.number("priority")?,
            "timeout" => {
                let micros = value.number("timeout")?;
                self.timeout = (micros > 0).then(|| Duration::from_micros(micros));
            }
            "timing" => self.timing = value.truth("timing")?,
            "entity_id" => self.entity_id = value.text("entity_id")?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> OfTensor<'a> {
    /// Takes in one, as an entry of a map.
    pub(super) fn add(&mut self, bytes: &'a [u8], reading: &mut Reading) -> Result<(), Malformed> {
        self.count += 1;
        if self.count > MOST_PARAMETERS {
            return Ok(());
        }
        let (key, _) = entry(bytes, reading)?;
        if key == "classification" || key.starts_with("shared_memory_") {
            self.refused = Some(key);
        }
        Ok(())
    }

    /// What is wrong with them: the field behind the tensor's, and why.
    pub(super) fn fault(&self) -> Option<(String, String)> {
        if self.count > MOST_PARAMETERS {
            return Some((".parameters".into(), format!("there are more than {MOST_PARAMETERS} of one tensor")));
        }
        let key = self.refused?;
        let wanted = if key == "classification" { "whole tensors" } else { "contents in the messages" };
        Some((
            format!(".parameters[{:?}]", shown(key)),
            format!("is there, wanted none: this server has {wanted} alone"),
        ))
    }
}

/// The key and the value of a parameter.
fn entry<'a>(mut bytes: &'a [u8], reading: &mut Reading) -> Result<(&'a str, Choice<'a>), Malformed> {
    let (mut key, mut value) = ("", Choice::Other);
    while !bytes.is_empty() {
        match reading.next(&mut bytes)? {
            (1, found) => key = reading.text(found)?,
            (2, found) => value = Choice::read(found.bytes()?, reading)?,
            _ => {}
        }
    }
    Ok((key, value))
}

impl<'a> Choice<'a> {
    #[allow(clippy::cast_possible_wrap, reason = "so does protobuf")]
    fn read(mut bytes: &'a [u8], reading: &mut Reading) -> Result<Self, Malformed> {
        let mut choice = Self::Other;
        while !bytes.is_empty() {
            choice = match reading.next(&mut bytes)? {
                (1, value) => Self::Truth(value.integer()? != 0),
                (2, value) => Self::Integer(value.integer()? as i64),
                (3, value) => Self::Text(reading.text(value)?),
                (5, value) => Self::Unsigned(value.integer()?),
                _ => Self::Other,
            };
        }
        Ok(choice)
    }

    fn number(self, key: &str) -> Result<u64, ScoreError> {
        let wrong =
            |found: String| fault(&format!("parameters[{key:?}]"), format!("is {found}, wanted an integer from 0"));
        match self {
            Self::Unsigned(number) => Ok(number),
            Self::Integer(number) => u64::try_from(number).map_err(|_negative| wrong(number.to_string())),
            Self::Text(_) | Self::Truth(_) | Self::Other => Err(wrong("no integer".into())),
        }
    }

    fn text(self, key: &str) -> Result<&'a str, ScoreError> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Integer(_) | Self::Unsigned(_) | Self::Truth(_) | Self::Other => {
                Err(fault(&format!("parameters[{key:?}]"), "is no text, wanted one"))
            }
        }
    }

    fn truth(self, key: &str) -> Result<bool, ScoreError> {
        match self {
            Self::Truth(truth) => Ok(truth),
            Self::Integer(_) | Self::Unsigned(_) | Self::Text(_) | Self::Other => {
                Err(fault(&format!("parameters[{key:?}]"), "is no bool, wanted one"))
            }
        }
    }
}
