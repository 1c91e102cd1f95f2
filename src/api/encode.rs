//! Rows of a request to rows of a version: the good ones are packed, each bad
//! one gets its error.

use std::sync::Arc;

use bytes::Bytes;
use jiff::civil::Date;
use prost::Message;

use super::{
    bounded::{Bounded, excess},
    proto::v1::{FieldViolation, Merchant, MerchantFeatures, RowError, User, UserFeatures},
    turns::Turns,
};
use crate::{
    error::{ScoreError, shown},
    features::{Encoder, FaultCode, RowFault, Violation, row::Row},
    model::Version,
    rows::Rows,
};

/// Longest id that is echoed: ids are names, not payloads.
const MAX_ID_BYTES: usize = 256;

/// What merchants and users have in common.
pub(super) trait Entity: Message + Default + Bounded {
    /// The typed features.
    type Features: Row + Default;
    /// The field of the request that holds the entities, for paths.
    const PLURAL: &'static str;
    /// The field that holds the id.
    const ID: &'static str;

    fn id(&self) -> &str;
    /// The id, to be echoed.
    fn into_id(self) -> String;
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

    fn into_id(self) -> String {
        self.merchant_id
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

    fn into_id(self) -> String {
        self.user_id
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

/// What became of one entity of a request.
pub(super) struct Outcome {
    /// As in the request.
    pub(super) id: String,
    pub(super) encoded: Result<Encoded, RowError>,
}

/// Decodes and encodes all entities of a request, one after the other and in
/// turns; there is one outcome for each. It owns what it needs, so that it can
/// wait until there is a place for its rows.
///
/// # Errors
///
/// [`ScoreError::BadField`] names the first entity that is none.
pub(super) async fn encode<E: Entity>(
    frames: Vec<Bytes>,
    version: Arc<Version>,
    today: Date,
) -> Result<(Rows, Vec<Outcome>), ScoreError> {
    let encoder = &version.encoder;
    let mut rows = encoder.empty_rows(frames.len());
    let mut outcomes = Vec::with_capacity(frames.len());
    let mut turns = Turns::begin();
    for (index, frame) in frames.into_iter().enumerate() {
        turns.pass().await;
        let entity = decode::<E>(frame, index)?;
        let path = |field: &str| format!("{}[{index}].{field}", E::PLURAL);
        let encoded = encode_one(&entity, encoder, today, &mut rows).map_err(|fault| row_error(fault, path));
        outcomes.push(Outcome { id: entity.into_id(), encoded });
    }
    Ok((rows, outcomes))
}

/// The entity in a frame.
fn decode<E: Entity>(frame: Bytes, index: usize) -> Result<E, ScoreError> {
    let place = format_args!("{}[{index}]", E::PLURAL);
    if let Some(repeated) = excess::<E>(&frame) {
        let description = format!("there are more than {}", repeated.most);
        return Err(ScoreError::BadField { field: format!("{place}.{}", repeated.name), description });
    }
    E::decode(frame).map_err(|error| ScoreError::BadField { field: place.to_string(), description: error.to_string() })
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

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::fixture;

    fn encoded(frames: Vec<Vec<u8>>) -> Result<(Rows, Vec<Outcome>), ScoreError> {
        let frames = frames.into_iter().map(Bytes::from).collect();
        let version = Arc::new(fixture::version("merchant_gmv", 1));
        tokio_test::block_on(encode::<Merchant>(frames, version, date(2026, 4, 30)))
    }

    fn merchant(id: &str, daily_gmv: &[f64]) -> Vec<u8> {
        let features = MerchantFeatures { daily_gmv: daily_gmv.to_vec(), ..MerchantFeatures::default() };
        Merchant { merchant_id: id.into(), features: Some(features), as_of: String::new() }.encode_to_vec()
    }

    #[test]
    fn every_entity_has_its_outcome_in_the_requests_order() {
        let (rows, outcomes) =
            encoded(vec![merchant("a", &[1.0]), merchant("b", &[-1.0]), merchant("c", &[])]).unwrap();
        assert_eq!(rows.len(), 1);
        let found: Vec<_> = outcomes.iter().map(|outcome| (outcome.id.as_str(), outcome.encoded.is_ok())).collect();
        assert_eq!(found, [("a", true), ("b", false), ("c", false)]);
        let Err(error) = &outcomes[1].encoded else { unreachable!("a GMV below 0 was taken") };
        assert_eq!(error.violations[0].field, "merchants[1].features.daily_gmv[0]");
    }

    #[test]
    fn an_entity_that_is_none_is_named() {
        let Err(ScoreError::BadField { field, description }) = encoded(vec![merchant("a", &[1.0]), vec![0x0a, 0x05]])
        else {
            unreachable!("it was taken")
        };
        assert_eq!(field, "merchants[1]");
        assert!(description.contains("buffer underflow"), "{description}");
    }
}
