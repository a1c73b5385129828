//! A WebSocket client that never waits.

use std::io;
use std::net::SocketAddr;

use mio::net::TcpStream;
use tungstenite::handshake::HandshakeError;
use tungstenite::handshake::MidHandshake;
use tungstenite::handshake::client::ClientHandshake;
use tungstenite::{Error, Message, WebSocket};

/// A connection, before or after its opening handshake.
pub struct Socket {
    state: State,
    /// [`Said::Opened`] is still to be said.
    news: bool,
}

enum State {
    Opening(Box<MidHandshake<ClientHandshake<TcpStream>>>),
    Open(Box<WebSocket<TcpStream>>),
    Closed,
}

/// What a socket has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The handshake is done; commands may be sent.
    Opened,
    /// A text message.
    Text(String),
    /// The socket has ended.
    Closed,
}

impl Socket {
    /// Start the handshake on a stream that is connected, or still connecting, to the host of `url`.
    ///
    /// # Errors
    /// In words.
    pub fn open(url: &str, stream: TcpStream) -> Result<Self, String> {
        let state = match tungstenite::client(url, stream) {
            Ok((socket, _)) => State::Open(Box::new(socket)),
            Err(HandshakeError::Interrupted(middle)) => State::Opening(Box::new(middle)),
            Err(HandshakeError::Failure(error)) => return Err(words(&error)),
        };
        Ok(Self { state, news: true })
    }

    /// Connect to `to`; the handshake follows when the caller opens it.
    ///
    /// # Errors
    /// What the socket says.
    pub fn connect(to: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Go on as far as the socket allows, and say what came.
    ///
    /// # Errors
    /// In words; the socket has ended then.
    pub fn advance(&mut self, mut said: impl FnMut(Said)) -> Result<(), String> {
        if let State::Opening(_) = self.state {
            let State::Opening(middle) = std::mem::replace(&mut self.state, State::Closed) else {
                return Ok(());
            };
            match middle.handshake() {
                Ok((socket, _)) => self.state = State::Open(Box::new(socket)),
                Err(HandshakeError::Interrupted(middle)) => {
                    self.state = State::Opening(Box::new(middle));
                    return Ok(());
                }
                Err(HandshakeError::Failure(error)) => return Err(words(&error)),
            }
        }
        let State::Open(socket) = &mut self.state else {
            return Ok(());
        };
        if std::mem::take(&mut self.news) {
            said(Said::Opened);
        }
        loop {
            match socket.read() {
                Ok(Message::Text(text)) => said(Said::Text(text.to_string())),
                Ok(_) => {}
                Err(error) if is_pending(&error) => break,
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    self.state = State::Closed;
                    said(Said::Closed);
                    return Ok(());
                }
                Err(error) => {
                    self.state = State::Closed;
                    return Err(words(&error));
                }
            }
        }
        flushed(socket.flush())
    }

    /// Send a text message; what the kernel does not take now leaves with a later `advance`.
    ///
    /// # Errors
    /// In words.
    pub fn send(&mut self, text: String) -> Result<(), String> {
        match &mut self.state {
            State::Open(socket) => flushed(socket.send(Message::text(text))),
            State::Opening(_) | State::Closed => Err("the socket is not open".to_owned()),
        }
    }

    /// Say goodbye. Whoever does not want to, drops the socket.
    pub fn close(&mut self) {
        if let State::Open(socket) = &mut self.state {
            // The reply to a goodbye is of no interest: the stream ends with this value.
            let _ = socket.close(None);
            let _ = socket.flush();
        }
    }
}

fn flushed(result: Result<(), Error>) -> Result<(), String> {
    match result {
        Err(error) if !is_pending(&error) => Err(words(&error)),
        _ => Ok(()),
    }
}

fn is_pending(error: &Error) -> bool {
    matches!(error, Error::Io(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected))
}

fn words(error: &Error) -> String {
    match error {
        Error::Http(response) => format!("the socket was refused: HTTP {}", response.status().as_u16()),
        error => format!("socket: {error}"),
    }
}
