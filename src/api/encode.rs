//! Rows of a request to rows of a version: the good ones are packed, each bad
//! one gets its error.

use std::time::{Duration, Instant};

use jiff::civil::Date;

use super::proto::v1::{FieldViolation, Merchant, MerchantFeatures, RowError, User, UserFeatures};
use crate::{
    error::shown,
    features::{Encoder, FaultCode, RowFault, Violation, row::Row},
    rows::Rows,
};

/// Longest id that is echoed: ids are names, not payloads.
const MAX_ID_BYTES: usize = 256;

/// After so much encoding other tasks of the thread get their turn.
const TURN: Duration = Duration::from_micros(250);

/// What merchants and users have in common.
pub(super) trait Entity {
    /// The typed features.
    type Features: Row + Default;
    /// The field of the request that holds the entities, for paths.
    const PLURAL: &'static str;
    /// The field that holds the id.
    const ID: &'static str;

    fn id(&self) -> &str;
    fn as_of(&self) -> &str;
    fn features(&self) -> Option<&Self::Features>;
}

impl Entity for Merchant {
    type Features = MerchantFeatures;
    const PLURAL: &'static str = "merchants";
    const ID: &'static str = "merchant_id";

    fn id(&self) -> &str {
        &self.merchant_id
    }

    fn as_of(&self) -> &str {
        &self.as_of
    }

    fn features(&self) -> Option<&MerchantFeatures> {
        self.features.as_ref()
    }
}

impl Entity for User {
    type Features = UserFeatures;
    const PLURAL: &'static str = "users";
    const ID: &'static str = "user_id";

    fn id(&self) -> &str {
        &self.user_id
    }

    fn as_of(&self) -> &str {
        &self.as_of
    }

    fn features(&self) -> Option<&UserFeatures> {
        self.features.as_ref()
    }
}

/// A row that was encoded.
pub(super) struct Encoded {
    /// Its place among the encoded rows.
    pub(super) row: usize,
    /// What the request left out.
    pub(super) defaulted: Vec<String>,
}

/// Encodes all entities of a request; the second result has one entry for each.
pub(super) async fn encode<E: Entity>(
    entities: &[E],
    encoder: &Encoder,
    today: Date,
) -> (Rows, Vec<Result<Encoded, RowError>>) {
    let mut rows = encoder.empty_rows(entities.len());
    let mut encoded = Vec::with_capacity(entities.len());
    let mut turn = Instant::now();
    for (index, entity) in entities.iter().enumerate() {
        if turn.elapsed() > TURN {
            tokio::task::yield_now().await;
            turn = Instant::now();
        }
        let path = |field: &str| format!("{}[{index}].{field}", E::PLURAL);
        encoded.push(encode_one(entity, encoder, today, &mut rows).map_err(|fault| row_error(fault, path)));
    }
    (rows, encoded)
}

/// Encodes one entity and appends it.
pub(super) fn encode_one<E: Entity>(
    entity: &E,
    encoder: &Encoder,
    today: Date,
    rows: &mut Rows,
) -> Result<Encoded, RowFault> {
    let (as_of, mut violations) = match as_of(entity.as_of(), today) {
        Ok(as_of) => (as_of, Vec::new()),
        Err(violation) => (today, vec![violation]),
    };
    if entity.id().len() > MAX_ID_BYTES {
        let description = format!("has {} bytes, wanted at most {MAX_ID_BYTES}", entity.id().len());
        violations.push(Violation { field: E::ID.to_owned(), description });
    }
    let row = rows.len();
    let absent = E::Features::default();
    let features: &dyn Row = entity.features().unwrap_or(&absent);
    let encoded = encoder.encode(features, as_of, rows);
    if violations.is_empty() {
        let mut defaulted = Vec::new();
        if entity.as_of().is_empty() {
            defaulted.push("as_of".to_owned());
        }
        defaulted.extend(encoder.names(&encoded?).map(str::to_owned));
        return Ok(Encoded { row, defaulted });
    }
    // The row went in although the entity around it is wrong.
    rows.truncate(row);
    violations.extend(encoded.err().into_iter().flat_map(|fault| fault.violations));
    Err(RowFault { code: FaultCode::InvalidArgument, violations })
}

fn as_of(text: &str, today: Date) -> Result<Date, Violation> {
    if text.is_empty() {
        return Ok(today);
    }
    let date = text.parse().ok().filter(|_| text.len() == "YYYY-MM-DD".len());
    date.ok_or_else(|| Violation {
        field: "as_of".into(),
        description: format!("is \"{}\", wanted a date as YYYY-MM-DD", shown(text)),
    })
}

fn row_error(fault: RowFault, path: impl Fn(&str) -> String) -> RowError {
    let code = match fault.code {
        FaultCode::InvalidArgument => tonic::Code::InvalidArgument,
        FaultCode::FailedPrecondition => tonic::Code::FailedPrecondition,
        FaultCode::Internal => tonic::Code::Internal,
    };
    let violations: Vec<FieldViolation> = fault
        .violations
        .into_iter()
        .map(|Violation { field, description }| FieldViolation { field: path(&field), description })
        .collect();
    let message = match violations.as_slice() {
        [] => "the row can't be encoded".to_owned(),
        [only] => format!("{}: {}", only.field, only.description),
        [first, others @ ..] => format!("{}: {} (and {} more)", first.field, first.description, others.len()),
    };
    RowError { code: code as i32, message, violations }
}
