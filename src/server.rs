//! Ways in: the tower service, and a server of one's own.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};

use crate::io::Io;
use crate::upgrade::{self, Body};

/// An [`Io`] as a service for tower, axum and hyper 1. It upgrades every request it gets;
/// the path is the router's.
///
/// ```
/// # #[cfg(feature = "axum")] {
/// let io = eventwire::Io::new();
/// let app: axum::Router = axum::Router::new().route_service("/ws", io.service());
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Service(Io);

impl Service {
    pub(crate) fn new(io: Io) -> Service {
        Service(io)
    }
}

/// The response of a [`Service`].
pub struct Upgrading(Pin<Box<dyn Future<Output = Response<Body>> + Send>>);

impl Future for Upgrading {
    type Output = Result<Response<Body>, Infallible>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for Upgrading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upgrading")
    }
}

impl<B: Send + 'static> tower_service::Service<Request<B>> for Service {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Upgrading;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Upgrading {
        let io = self.0.clone();
        Upgrading(Box::pin(async move { upgrade::upgrade(&io, request).await.0 }))
    }
}

#[cfg(feature = "server")]
mod listening {
    use std::fmt;
    use std::io;
    use std::net::SocketAddr;
    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::Duration;

    use http::Request;
    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioIo, TokioTimer};
    use tokio::io::{AsyncRead, AsyncWrite};
    use tokio::net::{TcpListener, TcpSocket, ToSocketAddrs};

    use crate::error::Error;
    use crate::io::Io;
    use crate::shutdown::Phase;
    use crate::socket::Socket;
    use crate::upgrade::{self, MAX_HEADERS, PeerAddr};

    /// So many connections may wait to be accepted: a page reload of thousands comes at once.
    const BACKLOG: u32 = 4096;

    /// What a handshake that took too long is given to be told so.
    const REFUSAL: Duration = Duration::from_millis(500);

    /// How long accepting pauses when the system refuses, as when it is out of file descriptors.
    const PAUSE: Duration = Duration::from_millis(50);

    /// Why a stream did not become a socket.
    #[derive(Debug)]
    #[non_exhaustive]
    pub enum AcceptError {
        /// It was refused, or was no WebSocket; the peer was told why.
        Refused,
        /// It broke, or took longer than `handshakeTimeout`.
        Io(io::Error),
    }

    impl fmt::Display for AcceptError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                AcceptError::Refused => f.write_str("refused"),
                AcceptError::Io(error) => error.fmt(f),
            }
        }
    }

    impl std::error::Error for AcceptError {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            match self {
                AcceptError::Refused => None,
                AcceptError::Io(error) => Some(error),
            }
        }
    }

    impl From<AcceptError> for Error {
        fn from(error: AcceptError) -> Error {
            Error::new("accept", error.to_string())
        }
    }

    impl Io {
        /// Listens at an address and serves whoever comes, at every path, until
        /// [`shutdown`](Io::shutdown) is through. Cancel safe: dropped, it accepts no more.
        ///
        /// # Errors
        /// When the address cannot be listened at.
        pub async fn listen(&self, address: impl ToSocketAddrs) -> crate::Result<()> {
            let mut last = None;
            for address in tokio::net::lookup_host(address).await? {
                match bind(address) {
                    Ok(listener) => return self.serve(listener).await,
                    Err(error) => last = Some((address, error)),
                }
            }
            Err(match last {
                Some((address, error)) => Error::new("listen", format!("cannot listen at {address}: {error}")),
                None => Error::new("listen", "the name has no address"),
            })
        }

        /// The same at a listener of one's own: for port 0, or a socket that was handed over.
        ///
        /// # Errors
        /// Never, as yet.
        pub async fn serve(&self, listener: TcpListener) -> crate::Result<()> {
            let closing = self.life().reached(Phase::Closing);
            tokio::pin!(closing);
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = &mut closing => break,
                };
                match accepted {
                    Ok((stream, peer)) => {
                        let io = self.clone();
                        // Boxed: the state of the handshake is freed once it is done.
                        tokio::spawn(Box::pin(async move {
                            if let Err(AcceptError::Io(error)) = io.accept_from(stream, Some(peer)).await {
                                tracing::debug!(%error, %peer, "no handshake");
                            }
                        }));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "accept");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
            // Nobody waits to be accepted; and who returns from here may end the runtime.
            drop(listener);
            self.life().reached(Phase::Ended).await;
            Ok(())
        }

        /// Serves one stream of whatever kind: does the opening handshake on it and returns the socket,
        /// which runs from then on as a task. Register handlers on the `Io` or in
        /// [`on_connect`](Io::on_connect): those registered on the socket that this returns may miss its first
        /// events. Dropped before it is done, the stream is closed.
        ///
        /// # Errors
        /// [`AcceptError`].
        pub async fn accept<S>(&self, stream: S) -> Result<Socket, AcceptError>
        where
            S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        {
            self.accept_from(stream, None).await
        }

        async fn accept_from<S>(&self, stream: S, peer: Option<SocketAddr>) -> Result<Socket, AcceptError>
        where
            S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        {
            let opened = Arc::new(Mutex::new(None));
            let service = service_fn(|mut request: Request<Incoming>| {
                if let Some(peer) = peer {
                    request.extensions_mut().insert(PeerAddr(peer));
                }
                let (io, opened) = (self.clone(), opened.clone());
                async move {
                    let (response, socket) = upgrade::upgrade(&io, request).await;
                    *opened.lock().unwrap_or_else(PoisonError::into_inner) = socket;
                    Ok::<_, std::convert::Infallible>(response)
                }
            });
            let limit = self.config().handshake_timeout;
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limit)
                .max_buf_size(MAX_HEADERS)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            let served = tokio::select! {
                served = tokio::time::timeout(limit + REFUSAL, connection) => served,
                () = self.life().reached(Phase::Cut) => return Err(AcceptError::Refused),
            };
            let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
                self.watched().refusals.add("handshake");
                AcceptError::Io(io::Error::other(error))
            };
            served.map_err(|elapsed| failed(elapsed.into()))?.map_err(|error| failed(error.into()))?;
            let socket = opened.lock().unwrap_or_else(PoisonError::into_inner).take();
            socket.ok_or(AcceptError::Refused)
        }
    }

    fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A server that is started again need not wait for its old connections to be forgotten.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    }
}

#[cfg(feature = "server")]
pub use listening::AcceptError;
