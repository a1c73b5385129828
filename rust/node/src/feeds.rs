//! Links of local feeds: descriptors on which other processes of this machine bring frames, one message each (docs/seam.md, *Local feeds*).

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rostra_sfu::command::{Command, LocalFeedSpec};
use rostra_sfu::ids::TransportId;
use rostra_sfu::transport::frame::MAX_FRAME;

use crate::sys::{Epoll, Ready, duplicate, is_hung_up, is_seqpacket, receive_message, send_message, shut_down};

/// Most feeds that are read in one turn; the kernel hands out those that are ready in rotation.
const FEEDS: usize = 8;
/// Most frames of one feed in one turn. With [`FEEDS`] as many as datagrams in one turn, so that neither starves the other.
pub const FRAMES: usize = 32;

/// One end of a link, ours alone.
#[derive(Debug)]
pub struct LocalLink(OwnedFd);

/// A descriptor is no link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It could not be duplicated.
    #[error(transparent)]
    System(#[from] io::Error),
    /// It is something else.
    #[error("expected an AF_UNIX socket of type SOCK_SEQPACKET")]
    Kind,
}

impl LocalLink {
    /// A duplicate of `fd`, which stays the caller's.
    pub fn duplicate(fd: RawFd) -> Result<Self, LinkError> {
        let link = duplicate(fd)?;
        if is_seqpacket(link.as_raw_fd()) {
            Ok(Self(link))
        } else {
            Err(LinkError::Kind)
        }
    }
}

/// What a node is told: commands of the shard, and those that come with something which only this crate can hold.
#[derive(Debug)]
pub enum Order {
    /// For the shard as it is.
    Plain(Command),
    /// [`Command::OpenLocalFeed`] with its link, which is closed when the feed is refused or ends.
    OpenLocalFeed {
        /// The new transport.
        transport: TransportId,
        /// What is fed.
        spec: Box<LocalFeedSpec>,
        /// Where the frames come from.
        link: LocalLink,
    },
}

impl From<Command> for Order {
    fn from(command: Command) -> Self {
        Self::Plain(command)
    }
}

impl Order {
    /// What the shard is told, and what stays here.
    pub(crate) fn split(self) -> (Command, Option<LocalLink>) {
        match self {
            Self::Plain(command) => (command, None),
            Self::OpenLocalFeed { transport, spec, link } => (Command::OpenLocalFeed { transport, spec }, Some(link)),
        }
    }
}

/// What came on a link.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Came<'a> {
    /// A frame, or the beginning of something longer than any.
    Frame(&'a mut [u8]),
    /// Nobody is on the other end any more.
    HangUp,
}

/// The links of a shard. Readable while one of them is.
#[derive(Debug)]
pub(crate) struct Feeds {
    epoll: Epoll,
    links: HashMap<TransportId, LocalLink>,
    ready: Vec<Ready>,
    buffer: Box<[u8; MAX_FRAME + 1]>,
}

impl Feeds {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new()?,
            links: HashMap::new(),
            ready: Vec::with_capacity(FEEDS),
            buffer: Box::new([0; MAX_FRAME + 1]),
        })
    }

    /// Listen to a feed from now on.
    pub(crate) fn add(&mut self, transport: TransportId, link: LocalLink) -> io::Result<()> {
        self.epoll.add(link.0.as_raw_fd(), transport.0)?;
        self.links.insert(transport, link);
        Ok(())
    }

    /// The feed ended: the other end is told, whoever else holds a duplicate of this one. Most transports are no feeds.
    pub(crate) fn end(&mut self, transport: TransportId) {
        if let Some(link) = self.links.remove(&transport) {
            // A registration lives as long as any duplicate of what it is for.
            let _ = self.epoll.remove(link.0.as_raw_fd());
            shut_down(link.0.as_raw_fd());
        }
    }

    /// All of them ended.
    pub(crate) fn clear(&mut self) {
        let all: Vec<_> = self.links.keys().copied().collect();
        for transport in all {
            self.end(transport);
        }
    }

    /// Take in what is there, as much as one turn may. Never blocks.
    pub(crate) fn receive(&mut self, mut each: impl FnMut(TransportId, Came<'_>)) {
        if self.links.is_empty() {
            return;
        }
        self.epoll.poll(FEEDS, &mut self.ready);
        for transport in self.ready.iter().map(|ready| TransportId(ready.number)) {
            let Some(link) = self.links.get(&transport) else {
                continue;
            };
            let fd = link.0.as_raw_fd();
            for _ in 0..FRAMES {
                match receive_message(fd, self.buffer.as_mut_slice()) {
                    Ok(0) if is_hung_up(fd) => {
                        each(transport, Came::HangUp);
                        break;
                    }
                    Ok(len) => each(transport, Came::Frame(self.buffer.get_mut(..len).unwrap_or_default())),
                    Err(error) => match error.kind() {
                        io::ErrorKind::WouldBlock => break,
                        // Told once when the other end left with messages of ours unread; what it had sent is still there.
                        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionReset => {}
                        _ => {
                            each(transport, Came::HangUp);
                            break;
                        }
                    },
                }
            }
        }
    }

    /// Send a frame, or `false`: the other end does not read, or is gone. Never blocks.
    pub(crate) fn send(&self, transport: TransportId, frame: &[u8]) -> bool {
        self.links
            .get(&transport)
            .is_some_and(|link| send_message(link.0.as_raw_fd(), frame).is_ok())
    }
}

impl AsRawFd for Feeds {
    fn as_raw_fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }
}

impl Drop for Feeds {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests;
