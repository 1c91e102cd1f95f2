//! The token in a request's headers.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header::AUTHORIZATION};

use super::nobody;
use crate::error::ScoreError;

/// The token of `authorization: Bearer TOKEN`, or of `Basic`, where it is the password and the name
/// says nothing: browsers ask people for these two, and for no token.
///
/// # Errors
///
/// [`ScoreError::NotIdentified`] where there is something else.
pub(super) fn token(headers: &HeaderMap) -> Result<Option<Cow<'_, str>>, ScoreError> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let read = value.to_str().ok().and_then(|value| value.split_once(' ')).and_then(|(scheme, rest)| {
        match scheme.to_ascii_lowercase().as_str() {
            "bearer" => Some(Cow::Borrowed(rest.trim())),
            "basic" => password(rest.trim()).map(Cow::Owned),
            _ => None,
        }
    });
    // What was sent is not repeated.
    read.map(Some).ok_or_else(|| nobody("the header `authorization` can't be read, wanted `Bearer TOKEN`"))
}

fn password(encoded: &str) -> Option<String> {
    let pair = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    pair.split_once(':').map(|(_name, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &'static str) -> Result<Option<String>, String> {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
        token(&headers).map(|token| token.map(Cow::into_owned)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_token_is_a_bearer_s_or_a_password() {
        assert_eq!(read("Bearer seven"), Ok(Some("seven".into())));
        assert_eq!(read("bearer  seven"), Ok(Some("seven".into())));
        // anna:seven
        assert_eq!(read("Basic YW5uYTpzZXZlbg=="), Ok(Some("seven".into())));
        assert_eq!(token(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn what_is_neither_is_refused_and_not_repeated() {
        for wrong in ["seven", "Digest seven", "Basic seven", "Basic c2V2ZW4="] {
            let said = read(wrong).unwrap_err();
            assert!(!said.contains("seven"), "{said}");
        }
    }
}
