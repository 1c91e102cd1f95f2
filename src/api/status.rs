//! Errors to codes: one match, so that a new kind must choose.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::error::ScoreError;

impl From<ScoreError> for Status {
    fn from(error: ScoreError) -> Self {
        let code = match &error {
            ScoreError::BadField { .. } => Code::InvalidArgument,
            ScoreError::NotFound { .. } => Code::NotFound,
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
