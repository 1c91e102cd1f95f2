//! One handshake, on the task of its connection: nobody waits for one that is slow.

use std::{io, sync::Arc};

use futures::poll;
use tokio::{net::TcpStream, task::yield_now};
use tokio_rustls::{
    LazyConfigAcceptor,
    rustls::{pki_types::UnixTime, server::Acceptor},
    server::TlsStream,
};

use super::{
    Tls,
    material::{Material, Protocol},
    verify::Names,
};

/// Handshakes that compute before others have a turn: a signature takes up to a millisecond, and
/// when all clients come at once, as after a restart, calls of those who are there wait for no more
/// than these.
pub(super) const TURNS: usize = 4;

/// What a handshake needs.
pub(super) struct Handshake {
    pub(super) stream: TcpStream,
    pub(super) material: Arc<Material>,
    pub(super) protocol: Protocol,
    pub(super) tls: Tls,
}

/// The certificate that a client showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) enum Shown {
    /// It comes from an authority of the settings.
    Known(Names),
    /// It can't be believed, for this reason.
    Refused(String),
}

/// What a handshake gives.
pub(super) struct Opened {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) shown: Option<Shown>,
}

impl Handshake {
    /// # Errors
    ///
    /// Where the peer speaks no TLS, or no version, key or certificate that is accepted.
    pub(super) async fn done(self) -> io::Result<Opened> {
        let Self { stream, material, protocol, tls } = self;
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        // Only now, so that a silent peer keeps nobody waiting.
        let turn = tls.turns().acquire().await;
        let mut handshake = hello.into_stream(material.config(protocol));
        let begun = poll!(&mut handshake);
        // What computes is done, and all tasks that were ready are before the next one.
        yield_now().await;
        drop(turn);
        let stream = match begun {
            std::task::Poll::Ready(done) => done?,
            std::task::Poll::Pending => handshake.await?,
        };
        let shown = shown(&stream, &material);
        Ok(Opened { stream, shown })
    }
}

/// Judges the certificate, where there is one.
fn shown(stream: &TlsStream<TcpStream>, material: &Material) -> Option<Shown> {
    let (verifier, chain) = (material.verifier.as_ref()?, stream.get_ref().1.peer_certificates()?);
    let (own, others) = chain.split_first()?;
    let judged = verifier.verify_client_cert(own, others, UnixTime::now()).map_err(|error| error.to_string());
    let names = judged.and_then(|_verified| Names::of(own).map_err(|error| error.to_string()));
    Some(names.map_or_else(Shown::Refused, Shown::Known))
}
