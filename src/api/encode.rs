//! Rows of a request to rows of a version: the good ones are packed, each bad
//! one gets its error.

use std::sync::Arc;

use bytes::Bytes;
use jiff::civil::Date;

use super::{
    parts::Entities,
    proto::v1::{FieldViolation, Merchant, RowError, User},
    turns::Turn,
    views::{EntityView, MerchantFeatures, UserFeatures},
    wire::View,
};
use crate::{
    error::{ScoreError, shown},
    features::{Defaulted, Encoder, FaultCode, RowFault, Scratch, Violation, row::Row},
    manifest::Task,
    model::Version,
    rows::Rows,
};

/// Longest id that is echoed: ids are names, not payloads.
const MAX_ID_BYTES: usize = 256;

/// What merchants and users have in common.
pub(super) trait Entity: 'static {
    /// The typed features, and those in `extra`.
    type Features<'a>: View<'a> + Row;
    /// The field of the request that holds the entities, for paths.
    const PLURAL: &'static str;
    /// The field that holds the id.
    const ID: &'static str;
}

impl Entity for Merchant {
    type Features<'a> = MerchantFeatures<'a>;
    const PLURAL: &'static str = "merchants";
    const ID: &'static str = "merchant_id";
}

impl Entity for User {
    type Features<'a> = UserFeatures<'a>;
    const PLURAL: &'static str = "users";
    const ID: &'static str = "user_id";
}

/// A row that was encoded.
pub(super) struct Encoded {
    /// Its place among the encoded rows.
    pub(super) row: usize,
    /// Whether the request left the day out, so that it is today.
    pub(super) today: bool,
    /// The features that the request left out.
    pub(super) defaulted: Defaulted,
}

/// What became of one entity of a request.
pub(super) struct Outcome {
    /// As in the request.
    pub(super) id: String,
    pub(super) encoded: Result<Encoded, RowError>,
}

/// What is known of the entities of one version once their rows are encoded.
#[derive(Default)]
pub(super) struct Read {
    /// One for each entity, in the request's order.
    pub(super) outcomes: Vec<Outcome>,
    /// Those whose rows were encoded, in the same order.
    pub(super) frames: Vec<Bytes>,
}

/// Reads and encodes all entities that one version answers, in turns. It owns what it needs, so that it can wait until there is a place
/// for its rows.
///
/// # Errors
///
/// [`ScoreError::BadField`] names the first entity that is none.
pub(super) async fn encode<E: Entity>(
    entities: Entities,
    version: Arc<Version>,
    today: Date,
) -> Result<(Rows, Read), ScoreError> {
    let count = entities.frames().len();
    let rows = version.encoder.empty_rows(count);
    let mut encoding = Encoding { version, today, rows, outcomes: Vec::with_capacity(count) };
    while encoding.turn::<E>(&entities)? {
        tokio::task::yield_now().await;
    }
    let Encoding { rows, outcomes, .. } = encoding;
    let mut frames = entities.into_frames();
    if rows.len() < frames.len() {
        let mut encoded = outcomes.iter().map(|outcome| outcome.encoded.is_ok());
        frames.retain(|_| encoded.next().unwrap_or_default());
    }
    Ok((rows, Read { outcomes, frames }))
}

/// What every request does with its `frames` before the stack has its rows, by
/// itself, for those who measure it: reads the entities of a `task` where they lie
/// (`souk.v1.Merchant` or `souk.v1.User` in wire format) and encodes them by
/// `version`. Rows at fault are left out.
///
/// # Errors
///
/// [`ScoreError::BadField`] names the first entity that is none, or says that rows
/// of this task are no messages.
pub async fn encode_frames(
    task: Task,
    frames: Vec<Bytes>,
    version: Arc<Version>,
    today: Date,
) -> Result<Rows, ScoreError> {
    let (rows, _read) = match task {
        Task::MerchantGmv => encode::<Merchant>(frames.into(), version, today).await?,
        Task::UserPortrait => encode::<User>(frames.into(), version, today).await?,
        Task::Tensors => {
            let description = "is `tensors`, wanted a task with typed rows".to_owned();
            return Err(ScoreError::BadField { field: "task".to_owned(), description });
        }
    };
    Ok(rows)
}

/// The rows of a request, as far as they are encoded.
struct Encoding {
    version: Arc<Version>,
    today: Date,
    rows: Rows,
    outcomes: Vec<Outcome>,
}

impl Encoding {
    /// Encodes the next entities; whether there are more. What one row needs the
    /// next one uses again, and nothing of it is kept over to the next turn.
    fn turn<E: Entity>(&mut self, entities: &Entities) -> Result<bool, ScoreError> {
        let (mut turn, encoder) = (Turn::begin(), &self.version.encoder);
        let (mut entity, mut scratch) = (EntityView::<E::Features<'_>>::default(), Scratch::default());
        let frames = entities.frames();
        for (index, frame) in frames.iter().enumerate().skip(self.outcomes.len()) {
            entity.clear();
            let place = || entities.place(index);
            entity.merge(frame).map_err(|malformed| ScoreError::BadField {
                field: format!("{}[{}]", E::PLURAL, place()),
                description: malformed.to_string(),
            })?;
            let path = |field: &str| format!("{}[{}].{field}", E::PLURAL, place());
            let encoded = encode_one::<E>(&entity, encoder, self.today, &mut scratch, &mut self.rows);
            let encoded = encoded.map_err(|fault| row_error(fault, path));
            self.outcomes.push(Outcome { id: entity.id.to_owned(), encoded });
            if turn.is_over_after(frame.len()) {
                break;
            }
        }
        Ok(self.outcomes.len() < frames.len())
    }
}

/// Encodes one entity and appends it.
pub(super) fn encode_one<E: Entity>(
    entity: &EntityView<'_, E::Features<'_>>,
    encoder: &Encoder,
    today: Date,
    scratch: &mut Scratch,
    rows: &mut Rows,
) -> Result<Encoded, RowFault> {
    let row = rows.len();
    let (as_of, violations) = around::<E>(entity, today);
    let encoded = encoder.encode(&entity.features, as_of, scratch, rows);
    if violations.is_empty() {
        return Ok(Encoded { row, today: entity.as_of.is_empty(), defaulted: encoded? });
    }
    // The row went in although the entity around it is wrong.
    rows.truncate(row);
    let others = encoded.err().into_iter().flat_map(|fault| fault.violations);
    Err(RowFault { code: FaultCode::InvalidArgument, violations: violations.into_iter().chain(others).collect() })
}

/// The day of an entity, and what is wrong around its features.
fn around<E: Entity>(entity: &EntityView<'_, E::Features<'_>>, today: Date) -> (Date, Vec<Violation>) {
    let mut violations = Vec::new();
    let as_of = as_of(entity.as_of, today).unwrap_or_else(|violation| {
        violations.push(violation);
        today
    });
    if entity.id.len() > MAX_ID_BYTES {
        let description = format!("has {} bytes, wanted at most {MAX_ID_BYTES}", entity.id.len());
        violations.push(Violation { field: E::ID.to_owned(), description });
    }
    (as_of, violations)
}

fn as_of(text: &str, today: Date) -> Result<Date, Violation> {
    if text.is_empty() {
        return Ok(today);
    }
    date(text.as_bytes()).ok_or_else(|| Violation {
        field: "as_of".into(),
        description: format!("is \"{}\", wanted a date as YYYY-MM-DD", shown(text)),
    })
}

/// The date in `YYYY-MM-DD`. jiff reads many other forms too, and takes longer.
fn date(text: &[u8]) -> Option<Date> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else { return None };
    let number = |digits: &[u8]| {
        digits
            .iter()
            .try_fold(0_i16, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i16::from(digit - b'0')))
    };
    let (month, day) = (i8::try_from(number(&[m1, m2])?).ok()?, i8::try_from(number(&[d1, d2])?).ok()?);
    Date::new(number(&[y1, y2, y3, y4])?, month, day).ok()
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

    use prost::Message as _;

    use super::*;
    use crate::{api::proto::v1, fixture};

    fn encoded(frames: Vec<Vec<u8>>) -> Result<(Rows, Read), ScoreError> {
        let frames: Vec<Bytes> = frames.into_iter().map(Bytes::from).collect();
        let version = Arc::new(fixture::version("merchant_gmv", 1));
        tokio_test::block_on(encode::<Merchant>(frames.into(), version, date(2026, 4, 30)))
    }

    fn merchant(id: &str, daily_gmv: &[f64]) -> Vec<u8> {
        let features = v1::MerchantFeatures { daily_gmv: daily_gmv.to_vec(), ..Default::default() };
        Merchant { merchant_id: id.into(), features: Some(features), as_of: String::new() }.encode_to_vec()
    }

    #[test]
    fn every_entity_has_its_outcome_in_the_requests_order() {
        let (rows, read) = encoded(vec![merchant("a", &[1.0]), merchant("b", &[-1.0]), merchant("c", &[])]).unwrap();
        assert_eq!(rows.len(), 1);
        let found: Vec<_> =
            read.outcomes.iter().map(|outcome| (outcome.id.as_str(), outcome.encoded.is_ok())).collect();
        assert_eq!(found, [("a", true), ("b", false), ("c", false)]);
        let Err(error) = &read.outcomes[1].encoded else { unreachable!("a GMV below 0 was taken") };
        assert_eq!(error.violations[0].field, "merchants[1].features.daily_gmv[0]");
    }

    #[test]
    fn a_date_is_read_as_jiff_reads_it() {
        use proptest::prelude::*;

        proptest!(|(text in "[0-9]{4}-[01][0-9]-[0-3][0-9]|[0-9+-]{10}|[0-9TZ:-]{8,11}")| {
            let wanted = text.parse().ok().filter(|_| text.len() == "YYYY-MM-DD".len());
            prop_assert_eq!(super::date(text.as_bytes()), wanted, "{}", text);
        });
    }

    #[test]
    fn an_entity_that_is_none_is_named() {
        let Err(ScoreError::BadField { field, description }) = encoded(vec![merchant("a", &[1.0]), vec![0x0a, 0x05]])
        else {
            unreachable!("it was taken")
        };
        assert_eq!(field, "merchants[1]");
        assert!(description.contains("cut short"), "{description}");
    }
}
