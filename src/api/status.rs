//! Errors to codes: one match, so that a new kind must choose.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::admin::TooManyWatchers;
use crate::{
    error::{ScoreError, cut},
    registry::OrderError,
};

/// Longest message of a status, in bytes: it travels in a header, where what is not
/// ASCII takes three times as much, and gRPC's own libraries take 8 KiB of headers.
/// `GetModel` has the reasons that don't fit.
const LONGEST: usize = 2048;

/// Longest message where the details repeat it, and say it once more by its parts: both
/// in base64, which takes four bytes for three.
const LONGEST_TWICE: usize = 1024;

/// Longest path of a field in the details.
const LONGEST_FIELD: usize = 256;

impl From<ScoreError> for Status {
    fn from(error: ScoreError) -> Self {
        let code = match &error {
            ScoreError::BadField { .. } => Code::InvalidArgument,
            ScoreError::UnknownModel { .. } | ScoreError::NotFound { .. } => Code::NotFound,
            ScoreError::NoLiveVersion { .. } | ScoreError::Draining => Code::Unavailable,
            ScoreError::Overloaded { .. } => Code::ResourceExhausted,
            ScoreError::DeadlinePassed => Code::DeadlineExceeded,
            ScoreError::NotIdentified { .. } => Code::Unauthenticated,
            ScoreError::NotPermitted { .. } => Code::PermissionDenied,
            ScoreError::Model { .. } => Code::Internal,
        };
        let message = error.to_string();
        let details = match error {
            ScoreError::BadField { field, description } => {
                let (field, description) = (cut(field, LONGEST_FIELD), cut(description, LONGEST_TWICE - LONGEST_FIELD));
                ErrorDetails::with_bad_request_violation(field, description)
            }
            ScoreError::Overloaded { retry_after, .. } => ErrorDetails::with_retry_info(Some(retry_after)),
            _ => return Self::new(code, cut(message, LONGEST)),
        };
        Self::with_error_details(code, cut(message, LONGEST_TWICE), details)
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
        Self::new(code, cut(error.to_string(), LONGEST))
    }
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
        let long = || "杭州".repeat(4000);
        let model = || "m".to_owned();
        let all: [Status; 6] = [
            rejected(vec![long()]).into(),
            ScoreError::BadField { field: long(), description: long() }.into(),
            ScoreError::UnknownModel { model: model(), available: long() }.into(),
            ScoreError::NotFound { model: model(), wanted: model(), available: long() }.into(),
            ScoreError::NoLiveVersion { model: model(), reason: long() }.into(),
            ScoreError::Model { model: model(), version: 3, reason: long() }.into(),
        ];
        for status in all {
            let message = status.message();
            assert!(message.ends_with("杭…") || message.ends_with("州…"), "{message}");
            let headers = status.clone().into_http::<()>().into_parts().0.headers;
            let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
            assert!(bytes < 8 * 1024, "{bytes} bytes: {message}");
        }
    }

    #[test]
    fn what_is_short_is_said_whole_in_the_message_and_in_the_details() {
        let status = Status::from(ScoreError::BadField { field: "quantiles".into(), description: "is 2".into() });
        assert_eq!(status.message(), "quantiles: is 2");
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!((&*violations[0].field, &*violations[0].description), ("quantiles", "is 2"));
    }
}
