//! Which version answers which entity of a request.
//!
//! Where the traffic of a model is split, an entity's id decides: it is read where it
//! lies, and nothing else of the entity is. What is wrong with it is said where it is
//! encoded.

use std::sync::Arc;

use bytes::Bytes;

use super::{turns::Turn, wire::next};
use crate::{
    error::ScoreError,
    registry::{Resolved, Route, Traffic},
};

/// Entities of a request that one version answers.
pub(super) struct Entities {
    frames: Vec<Bytes>,
    /// Where each is in the request; `None`: all of it is here.
    places: Option<Vec<usize>>,
}

/// Who answers what.
pub(super) struct Parts {
    /// At least one, that of the request's first entity first.
    pub(super) parts: Vec<(Resolved, Entities)>,
    /// The part of each entity, in the request's order.
    pub(super) order: Vec<usize>,
}

impl Entities {
    pub(super) fn frames(&self) -> &[Bytes] {
        &self.frames
    }

    pub(super) fn into_frames(self) -> Vec<Bytes> {
        self.frames
    }

    /// Where an entity is in the request.
    pub(super) fn place(&self, index: usize) -> usize {
        self.places.as_ref().and_then(|places| places.get(index)).copied().unwrap_or(index)
    }

    fn push(&mut self, place: usize, frame: Bytes) {
        self.frames.push(frame);
        self.places.get_or_insert_default().push(place);
    }
}

impl From<Vec<Bytes>> for Entities {
    fn from(frames: Vec<Bytes>) -> Self {
        Self { frames, places: None }
    }
}

impl Parts {
    /// Gives each entity to who answers it. In turns.
    ///
    /// # Errors
    ///
    /// [`ScoreError::NoLiveVersion`] where nobody does.
    pub(super) async fn of(frames: Vec<Bytes>, route: Route, model: &str) -> Result<Self, ScoreError> {
        match route {
            Route::One(by) => {
                let order = vec![0; frames.len()];
                Ok(Self { parts: vec![(by, frames.into())], order })
            }
            Route::Split(traffic) => Self::split(frames, &traffic, model).await,
        }
    }

    async fn split(frames: Vec<Bytes>, traffic: &Arc<Traffic>, model: &str) -> Result<Self, ScoreError> {
        let mut parts = Self { parts: Vec::new(), order: Vec::with_capacity(frames.len()) };
        let mut turn = Turn::begin();
        for (place, frame) in frames.into_iter().enumerate() {
            let nobody =
                || ScoreError::NoLiveVersion { model: model.to_owned(), reason: "its traffic has no arm".into() };
            let (bytes, by) = (frame.len(), traffic.of(id(&frame)).ok_or_else(nobody)?);
            parts.push(by, place, frame);
            if turn.is_over_after(bytes) {
                tokio::task::yield_now().await;
                turn = Turn::begin();
            }
        }
        Ok(parts)
    }

    fn push(&mut self, by: Resolved, place: usize, frame: Bytes) {
        let same = |(other, _): &(Resolved, _)| Arc::ptr_eq(&other.version, &by.version) && other.label == by.label;
        let part = self.parts.iter().position(same).unwrap_or_else(|| {
            self.parts.push((by, Entities { frames: Vec::new(), places: None }));
            self.parts.len() - 1
        });
        self.order.push(part);
        if let Some((_, entities)) = self.parts.get_mut(part) {
            entities.push(place, frame);
        }
    }
}

/// The id of a `souk.v1.Merchant` or `souk.v1.User`, as far as it can be read.
pub(super) fn id(mut frame: &[u8]) -> &str {
    let mut id = "";
    while !frame.is_empty()
        && let Ok((number, value)) = next(&mut frame)
    {
        // As everywhere in protobuf, the last one counts.
        if number == 1 {
            id = value.text().unwrap_or_default();
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::{
        api::proto::v1::{Merchant, MerchantFeatures},
        fixture,
    };

    fn frame(id: &str) -> Bytes {
        let features = Some(MerchantFeatures { rating: Some(4.5), ..MerchantFeatures::default() });
        Merchant { merchant_id: id.into(), features, as_of: "2026-04-30".into() }.encode_to_vec().into()
    }

    #[test]
    fn an_id_is_read_as_protobuf_reads_it() {
        for wanted in ["", "m", "a longer id, of merchant 7"] {
            assert_eq!(id(&frame(wanted)), wanted);
        }
        // The last one counts, wherever it is.
        assert_eq!(id(&[frame("first"), frame("last")].concat()), "last");
        // What is broken is said where it is encoded.
        assert_eq!((id(&[0x0a, 0x05, b'x']), id(&[0x0a, 0x01, 0xff]), id(&[0x08, 0x01]), id(&[])), ("", "", "", ""));
    }

    #[test]
    fn every_entity_is_in_the_part_of_its_arm_in_order() {
        let arms = [("stable", 1, 50.0), ("canary", 2, 30.0), ("b", 3, 20.0)];
        let traffic = fixture::with_arms("merchant_gmv", &arms).traffic.unwrap();
        let ids: Vec<String> = (0..200).map(|id| format!("m-{id}")).collect();
        let frames = ids.iter().map(|id| frame(id)).collect();
        let parts = tokio_test::block_on(Parts::split(frames, &traffic, "merchant_gmv")).unwrap();
        assert_eq!(parts.parts.len(), 3);
        assert_eq!(parts.order.first(), Some(&0));
        let mut seen = 0;
        for (number, (by, entities)) in parts.parts.iter().enumerate() {
            let places: Vec<usize> = (0..entities.frames().len()).map(|index| entities.place(index)).collect();
            assert!(places.is_sorted());
            for (place, frame) in places.iter().zip(entities.frames()) {
                assert_eq!(id(frame), ids[*place]);
                assert_eq!(parts.order[*place], number);
                let wanted = traffic.of(&ids[*place]).unwrap();
                assert_eq!(wanted.version.manifest.version, by.version.manifest.version);
                seen += 1;
            }
        }
        assert_eq!(seen, ids.len());
    }
}
