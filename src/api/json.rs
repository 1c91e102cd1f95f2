//! protobuf's own JSON form, by the descriptor: golden rows, the rows and results
//! of `souk score`, and what `souk models --json` prints. Names are those of the
//! protos (snake_case).

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use thiserror::Error;

use super::{
    encode::{Entity, encode_one},
    proto::{
        ADMIN_DESCRIPTORS, DESCRIPTORS,
        v1::{Merchant, User},
    },
    scoring::today_utc,
    views::{EntityView, MerchantFeatures, UserFeatures},
    wire::View as _,
};
use crate::{
    features::{
        Encoder, Scratch,
        row::{Field, Row as _},
    },
    manifest::Task,
    model::RowReader,
    rows::Rows,
};

/// Reads and writes messages of `souk.v1` as JSON.
#[derive(Clone)]
pub struct JsonForms {
    pool: DescriptorPool,
}

/// What is wrong with a JSON form.
#[derive(Debug, Error)]
pub enum JsonError {
    /// The program's own descriptors are unusable.
    #[error("the descriptors: {0}")]
    Descriptors(#[from] prost_reflect::DescriptorError),
    /// There is no such message.
    #[error("no message {0}")]
    NoMessage(String),
    /// Not the JSON form of the message.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// The message can't be carried over.
    #[error("{0}")]
    Decode(#[from] prost::DecodeError),
}

impl JsonForms {
    /// # Errors
    ///
    /// [`JsonError::Descriptors`], which would be a mistake of the build.
    pub fn new() -> Result<Self, JsonError> {
        let mut pool = DescriptorPool::decode(DESCRIPTORS)?;
        pool.decode_file_descriptor_set(ADMIN_DESCRIPTORS)?;
        Ok(Self { pool })
    }

    /// The message `souk.v1.<name>` in `json`.
    ///
    /// # Errors
    ///
    /// [`JsonError::Json`] with line and column, also for unknown fields.
    pub fn read<M: Message + Default>(&self, name: &str, json: &str) -> Result<M, JsonError> {
        Ok(self.dynamic(name, json)?.transcode_to()?)
    }

    /// `message` as one line of JSON, with the fields that hold their default.
    ///
    /// # Errors
    ///
    /// [`JsonError::NoMessage`] where `name` is not the message's.
    pub fn write<M: Message>(&self, name: &str, message: &M) -> Result<String, JsonError> {
        let mut dynamic = DynamicMessage::new(self.message(name)?);
        dynamic.transcode_from(message)?;
        let mut line = Vec::new();
        let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);
        dynamic.serialize_with_options(&mut serde_json::Serializer::new(&mut line), &options)?;
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// A row of a task, as it travels, as one line of JSON.
    pub(super) fn line(&self, task: Task, frame: &[u8]) -> Result<String, JsonError> {
        let dynamic = DynamicMessage::decode(self.message(entity(task))?, frame)?;
        let mut line = Vec::new();
        let options = SerializeOptions::new().use_proto_field_name(true);
        dynamic.serialize_with_options(&mut serde_json::Serializer::new(&mut line), &options)?;
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// The row that [`JsonForms::line`] wrote.
    pub(super) fn frame(&self, task: Task, json: &str) -> Result<Vec<u8>, JsonError> {
        Ok(self.dynamic(entity(task), json)?.encode_to_vec())
    }

    fn dynamic(&self, name: &str, json: &str) -> Result<DynamicMessage, JsonError> {
        let mut reader = serde_json::Deserializer::from_str(json);
        let message = DynamicMessage::deserialize(self.message(name)?, &mut reader)?;
        reader.end()?;
        Ok(message)
    }

    fn message(&self, name: &str) -> Result<MessageDescriptor, JsonError> {
        let name = format!("souk.v1.{name}");
        self.pool.get_message_by_name(&name).ok_or(JsonError::NoMessage(name))
    }

    fn encode_as<E: Entity>(&self, name: &str, json: &str, encoder: &Encoder, into: &mut Rows) -> Result<(), String> {
        // By way of the wire, so that golden rows prove the reading of frames too.
        let frame = self.dynamic(name, json).map_err(|error| format!("row: {error}"))?.encode_to_vec();
        let mut entity = EntityView::<E::Features<'_>>::default();
        entity.merge(&frame).map_err(|error| format!("row: {error}"))?;
        if entity.as_of.is_empty() {
            return Err("row: as_of is missing, so that the row would be encoded by today's date".into());
        }
        let encoded = encode_one::<E>(&entity, encoder, today_utc(), &mut Scratch::default(), into);
        encoded.map(drop).map_err(|fault| format!("row: {fault}"))
    }
}

/// The message of a task's rows.
const fn entity(task: Task) -> &'static str {
    match task {
        Task::MerchantGmv => "Merchant",
        Task::UserPortrait => "User",
        // No message has this name.
        Task::Tensors => "",
    }
}

impl RowReader for JsonForms {
    fn fields(&self, task: Task) -> &'static [Field] {
        match task {
            Task::MerchantGmv => MerchantFeatures::fields(),
            Task::UserPortrait => UserFeatures::fields(),
            Task::Tensors => &[],
        }
    }

    fn encode(&self, task: Task, json: &str, encoder: &Encoder, into: &mut Rows) -> Result<(), String> {
        match task {
            Task::MerchantGmv => self.encode_as::<Merchant>("Merchant", json, encoder, into),
            Task::UserPortrait => self.encode_as::<User>("User", json, encoder, into),
            Task::Tensors => Err("row: a model of tensors has no typed rows".into()),
        }
    }
}
