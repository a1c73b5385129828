//! Datagrams over a TCP connection (RFC 6544, RFC 4571), without waiting. Written by itself, so that the server's framing is tried against another.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;

/// More than this unsent is dropped, as a full socket drops datagrams.
const MAX_UNSENT: usize = 256 * 1024;

/// The connection of one peer.
pub struct Stream {
    /// For registering with the poll.
    pub stream: TcpStream,
    to: SocketAddr,
    received: Vec<u8>,
    unsent: Vec<u8>,
    asleep: bool,
}

impl Stream {
    /// Start connecting.
    ///
    /// # Errors
    /// What the socket says.
    pub fn connect(to: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            stream: TcpStream::connect(to)?,
            to,
            received: Vec::new(),
            unsent: Vec::new(),
            asleep: false,
        })
    }

    /// Where it goes.
    pub fn to(&self) -> SocketAddr {
        self.to
    }

    /// Read nothing any more.
    pub fn sleep(&mut self) {
        self.asleep = true;
    }

    /// A datagram to the server; it leaves when the connection takes it.
    pub fn send(&mut self, datagram: &[u8]) {
        let Ok(len) = u16::try_from(datagram.len()) else {
            return;
        };
        if self.unsent.len() < MAX_UNSENT {
            self.unsent.extend_from_slice(&len.to_be_bytes());
            self.unsent.extend_from_slice(datagram);
        }
        self.flush();
    }

    /// Send what is left. Errors show when it is read.
    pub fn flush(&mut self) {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(0) | Err(_) => return,
                Ok(sent) => drop(self.unsent.drain(..sent)),
            }
        }
    }

    /// Whole datagrams that are here.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Vec<Vec<u8>>> {
        let mut datagrams = Vec::new();
        while !self.asleep {
            match self.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => self.received.extend_from_slice(buffer.get(..len).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // Not connected yet, or nothing more.
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => break,
                Err(error) => return Err(error),
            }
        }
        while let Some(&[high, low]) = self.received.first_chunk::<2>() {
            let end = 2 + usize::from(u16::from_be_bytes([high, low]));
            let Some(datagram) = self.received.get(2..end) else {
                break;
            };
            datagrams.push(datagram.to_vec());
            self.received.drain(..end);
        }
        Ok(datagrams)
    }
}
