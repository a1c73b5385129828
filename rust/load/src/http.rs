//! One POST over one TCP connection, without waiting.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;

/// A reply longer than this is not one of a director.
const MAX_REPLY: usize = 256 * 1024;

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The body, as text.
    pub body: String,
}

/// A request on its way, and its reply.
#[derive(Debug)]
pub struct Exchange {
    /// For registering with the poll.
    pub stream: TcpStream,
    request: Vec<u8>,
    sent: usize,
    reply: Vec<u8>,
}

impl Exchange {
    /// Start connecting. `path` begins with `/`.
    ///
    /// # Errors
    /// What the socket says.
    pub fn post(to: SocketAddr, path: &str, bearer: Option<&str>, body: &str) -> io::Result<Self> {
        Ok(Self {
            stream: TcpStream::connect(to)?,
            request: request(&to.to_string(), path, bearer, body).into_bytes(),
            sent: 0,
            reply: Vec::new(),
        })
    }

    /// Go on as far as the socket allows. `None`: call again when the socket is ready.
    ///
    /// # Errors
    /// What the socket says; `InvalidData` when the reply is not HTTP/1.x with a length.
    pub fn advance(&mut self) -> io::Result<Option<Reply>> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        while let Some(rest) = self.request.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(written) => self.sent += written,
                Err(error) if is_pending(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let mut buffer = [0; 4096];
        loop {
            let ended = match self.stream.read(&mut buffer) {
                Ok(0) => true,
                Ok(len) => {
                    self.reply.extend_from_slice(buffer.get(..len).unwrap_or_default());
                    false
                }
                Err(error) if is_pending(&error) => return Ok(None),
                Err(error) => return Err(error),
            };
            if self.reply.len() > MAX_REPLY {
                return Err(invalid("the reply is too long"));
            }
            if let Some(reply) = parse(&self.reply, ended).map_err(invalid)? {
                return Ok(Some(reply));
            }
        }
    }
}

fn is_pending(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected | io::ErrorKind::Interrupted
    )
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn request(host: &str, path: &str, bearer: Option<&str>, body: &str) -> String {
    let authorization = bearer.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{authorization}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A whole reply (RFC 9112), or `None` while more is to come. `ended`: nothing more will come.
fn parse(bytes: &[u8], ended: bool) -> Result<Option<Reply>, &'static str> {
    let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if ended {
            Err("the connection closed before the reply")
        } else {
            Ok(None)
        };
    };
    let (head, body) = bytes.split_at(at + 4);
    let head = str::from_utf8(head).map_err(|_| "the reply is not HTTP")?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .filter(|line| line.starts_with("HTTP/1."))
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .ok_or("the reply is not HTTP")?;
    let mut length = None;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(
                value
                    .trim()
                    .parse::<usize>()
                    .map_err(|_| "the reply has no good length")?,
            );
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err("the reply has no length");
        }
    }
    let body = match length {
        Some(length) => match body.get(..length) {
            Some(body) => body,
            None if ended => return Err("the connection closed within the reply"),
            None => return Ok(None),
        },
        None if ended => body,
        None => return Ok(None),
    };
    Ok(Some(Reply {
        status,
        body: String::from_utf8_lossy(body).into_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 4\r\nserver: x\r\n\r\nnope";

    #[test]
    fn a_reply_is_whole_when_its_length_is_there_and_not_before() {
        for cut in 0..WHOLE.len() {
            assert_eq!(parse(&WHOLE[..cut], false), Ok(None), "{cut}");
            assert!(parse(&WHOLE[..cut], true).is_err(), "{cut}");
        }
        let reply = parse(WHOLE, false).unwrap().unwrap();
        assert_eq!((reply.status, reply.body.as_str()), (400, "nope"));
    }

    #[test]
    fn without_a_length_the_end_of_the_connection_ends_the_body() {
        let bytes = b"HTTP/1.0 200 OK\r\n\r\nyes";
        assert_eq!(parse(bytes, false), Ok(None));
        assert_eq!(parse(bytes, true).unwrap().unwrap().body, "yes");
    }

    #[test]
    fn what_is_not_http_is_refused() {
        for bytes in [
            &b"SSH-2.0\r\n\r\n"[..],
            b"HTTP/1.1 x y\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        ] {
            assert!(parse(bytes, false).is_err());
        }
    }

    #[test]
    fn the_token_travels_in_the_header() {
        let text = request("127.0.0.1:80", "/api", Some("secret"), "{}");
        assert!(text.contains("\r\nAuthorization: Bearer secret\r\n") && text.ends_with("\r\n\r\n{}"));
        assert!(!request("127.0.0.1:80", "/api", None, "{}").contains("Authorization"));
    }
}
