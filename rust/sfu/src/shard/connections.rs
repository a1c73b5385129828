//! Paths that are TCP connections. They begin and end, which the addresses of datagrams do not: whoever owns the sockets asks here which
//! connections are worth keeping, says which ones ended, and is told which ones nobody needs any more.

use super::ShardCore;
use super::transport::{Transport, WebRtc};
use crate::ids::ConnectionId;
use crate::outbox::{Path, Via};
use crate::time::Time;

impl ShardCore {
    /// Has ICE validated the path, so that a transport may be served on it?
    pub fn is_known(&self, path: &Path) -> bool {
        self.by_path.contains_key(path)
    }

    /// The path's connection has ended. Nothing is sent there any more; the transport's media moves to the path that was checked last of
    /// those that are left, or waits for the next check. Consent ends as ever, by silence.
    pub fn hang_up(&mut self, now: Time, path: &Path) {
        let Some(index) = self.by_path.remove(path) else {
            return;
        };
        self.guarded(|shard| {
            shard.serving = Some(index);
            if let Some(peer) = shard.transport(index).and_then(Transport::webrtc_mut) {
                peer.paths.retain(|known| known != path);
                peer.ice.forget(path);
                shard.arm(now, index);
            }
        });
    }

    /// Connections that no transport uses any more, since the last call.
    pub fn take_abandoned(&mut self) -> std::vec::Drain<'_, ConnectionId> {
        self.abandoned.drain(..)
    }

    /// No table leads along the path any more.
    pub(super) fn abandon(&mut self, path: &Path) {
        self.by_path.remove(path);
        if let Via::Tcp(connection) = path.via {
            self.abandoned.push(connection);
        }
    }

    /// The transport's newest valid path leads to it. Those that it pushed out do not, any more.
    pub(super) fn lead(&mut self, path: Path, index: u32) {
        if self.by_path.insert(path, index) == Some(index) {
            return;
        }
        if let Some(WebRtc { paths, .. }) = self.transport(index).and_then(Transport::webrtc_mut)
            && !paths.contains(&path)
        {
            paths.push(path);
        }
        self.part(index);
    }

    /// Paths that ICE holds valid no more do not lead to the transport any more.
    pub(super) fn part(&mut self, index: u32) {
        let Some(WebRtc { paths, ice, .. }) = self.transport(index).and_then(Transport::webrtc_mut) else {
            return;
        };
        let mut lost = Vec::new();
        paths.retain(|known| {
            let keep = ice.is_valid(known);
            if !keep {
                lost.push(*known);
            }
            keep
        });
        for path in lost {
            if self.by_path.get(&path) == Some(&index) {
                self.abandon(&path);
            }
        }
    }
}
