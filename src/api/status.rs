//! Errors to codes: one match, so that a new kind must choose.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::admin::TooManyWatchers;
use crate::{error::ScoreError, registry::OrderError};

/// Longest message of an order's status, in bytes: it travels in a header, where
/// what is not ASCII takes three times as much, and gRPC's own libraries take 8 KiB
/// of headers.
const LONGEST: usize = 2048;

impl From<ScoreError> for Status {
    fn from(error: ScoreError) -> Self {
        let code = match &error {
            ScoreError::BadField { .. } => Code::InvalidArgument,
            ScoreError::UnknownModel { .. } | ScoreError::NotFound { .. } => Code::NotFound,
            ScoreError::NoLiveVersion { .. } | ScoreError::Draining => Code::Unavailable,
            ScoreError::Overloaded { .. } => Code::ResourceExhausted,
            ScoreError::DeadlinePassed => Code::DeadlineExceeded,
            ScoreError::Model { .. } => Code::Internal,
        };
        let message = error.to_string();
        let details = match error {
            ScoreError::BadField { field, description } => ErrorDetails::with_bad_request_violation(field, description),
            ScoreError::Overloaded { retry_after, .. } => ErrorDetails::with_retry_info(Some(retry_after)),
            _ => return Self::new(code, message),
        };
        Self::with_error_details(code, message, details)
    }
}

impl From<OrderError> for Status {
    fn from(error: OrderError) -> Self {
        let code = match &error {
            OrderError::UnknownModel { .. } | OrderError::UnknownVersion { .. } => Code::NotFound,
            OrderError::Rejected { .. }
            | OrderError::InUse { .. }
            | OrderError::NoWayBack { .. }
            | OrderError::Unwritable { .. } => Code::FailedPrecondition,
            OrderError::BadPolicy { .. } => Code::InvalidArgument,
            OrderError::Superseded { .. } | OrderError::Cancelled { .. } => Code::Aborted,
            OrderError::Draining => Code::Unavailable,
        };
        Self::new(code, cut(error.to_string()))
    }
}

/// A message that fits into a header. `GetModel` has the reasons that don't.
fn cut(mut message: String) -> String {
    if message.len() > LONGEST {
        message.truncate(message.floor_char_boundary(LONGEST));
        message.push('…');
    }
    message
}

impl From<TooManyWatchers> for Status {
    fn from(error: TooManyWatchers) -> Self {
        Self::resource_exhausted(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(problems: Vec<String>) -> OrderError {
        OrderError::Rejected { model: "m".into(), version: 3, problems }
    }

    #[test]
    fn an_order_that_is_not_followed_has_a_code_and_its_reasons() {
        let model = || "m".to_owned();
        let (version, problems) = (3, vec!["the digest".to_owned(), "a golden row".to_owned()]);
        let cases = [
            (OrderError::UnknownModel { model: model(), available: "n".into() }, Code::NotFound, "there is: n"),
            (
                OrderError::UnknownVersion { model: model(), version, available: "1".into() },
                Code::NotFound,
                "no version 3",
            ),
            (rejected(problems.clone()), Code::FailedPrecondition, "the digest; a golden row"),
            (OrderError::InUse { model: model(), version, label: "canary".into() }, Code::FailedPrecondition, "canary"),
            (OrderError::NoWayBack { model: model() }, Code::FailedPrecondition, "nothing to go back to"),
            (OrderError::Unwritable { path: "p".into(), reason: "full".into() }, Code::FailedPrecondition, "full"),
            (OrderError::BadPolicy { problems }, Code::InvalidArgument, "the digest; a golden row"),
            (OrderError::Superseded { model: model(), found: 4, wanted: 3 }, Code::Aborted, "revision 4, not 3"),
            (OrderError::Cancelled { by: "an unload".into() }, Code::Aborted, "an unload"),
            (OrderError::Draining, Code::Unavailable, "draining"),
        ];
        for (error, code, text) in cases {
            let status = Status::from(error);
            assert_eq!(status.code(), code, "{status:?}");
            assert!(status.message().contains(text), "{status:?}");
        }
    }

    #[test]
    fn a_message_fits_into_a_header_whatever_there_is_to_say() {
        let status = Status::from(rejected(vec!["杭州".repeat(4000)]));
        assert!(status.message().len() <= LONGEST + '…'.len_utf8(), "{}", status.message().len());
        assert!(status.message().ends_with("杭…") || status.message().ends_with("州…"));
    }
}
