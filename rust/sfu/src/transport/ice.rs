//! ICE-lite (RFC 8445 §2.5): the peer checks, we answer. The one thing that decides which addresses may talk to a transport.
//!
//! How long an address stays welcome (consent, RFC 7675) is not decided here: who owns the transport knows of every authenticated packet.

use crate::outbox::Path;
use crate::reason::DropReason;
use crate::time::Time;
use crate::transport::stun::{self, ErrorCode, IceRole, Message, MessageClass};

/// Most paths of one transport that are valid at a time.
pub const MAX_PATHS: usize = 16;

/// Our half of ICE for one transport. Always controlled.
pub struct IceLite {
    local_ufrag: String,
    local_pwd: String,
    remote_ufrag: String,
    /// Grows with authenticated checks only.
    valid: Vec<ValidPath>,
    media: Option<Path>,
}

#[derive(Clone, Copy, Debug)]
struct ValidPath {
    path: Path,
    checked: Time,
}

/// What came of an authenticated request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Checked {
    /// Bytes of the response; 0 when there is nothing to say.
    pub reply_len: usize,
    /// The media path is another one than before.
    pub moved: bool,
}

impl std::fmt::Debug for IceLite {
    /// Leaves the password out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceLite")
            .field("local_ufrag", &self.local_ufrag)
            .field("remote_ufrag", &self.remote_ufrag)
            .field("valid", &self.valid)
            .field("media", &self.media)
            .finish_non_exhaustive()
    }
}

impl IceLite {
    /// No path is valid yet. The peer's password would be the key of checks of our own; a lite agent sends none, so it is not kept.
    pub fn new(local_ufrag: &str, local_pwd: &str, remote_ufrag: &str, _remote_pwd: &str) -> Self {
        Self {
            local_ufrag: local_ufrag.to_owned(),
            local_pwd: local_pwd.to_owned(),
            remote_ufrag: remote_ufrag.to_owned(),
            valid: Vec::new(),
            media: None,
        }
    }

    /// Judge a message that came on `path` and write the answer into `reply` ([`stun::MAX_RESPONSE`] bytes are enough).
    ///
    /// `Err`: it is no request of this peer; nothing changed and nothing must be sent, so that a stranger learns and reflects nothing.
    /// An authenticated request gets a response, and only a success response makes its path valid. The media path moves to the first
    /// valid path and to every nominated one.
    pub fn request(
        &mut self,
        now: Time,
        path: Path,
        message: &Message<'_>,
        reply: &mut [u8],
    ) -> Result<Checked, DropReason> {
        match message.class() {
            MessageClass::Request => {}
            MessageClass::Indication => return Err(DropReason::StunMalformed),
            MessageClass::Success | MessageClass::Error => return Err(DropReason::StunUnexpected),
        }
        if message.local_ufrag() != Some(self.local_ufrag.as_str())
            || message.remote_ufrag() != Some(self.remote_ufrag.as_str())
            || !message.verify(self.local_pwd.as_bytes())
        {
            return Err(DropReason::StunUnauthenticated);
        }
        let (transaction, pwd) = (message.transaction(), self.local_pwd.as_bytes());
        let refusal = if !message.unknown().is_empty() {
            Some(ErrorCode::UnknownAttribute)
        } else if matches!(message.role(), Some(IceRole::Controlled(_))) {
            // A lite agent never takes the controlling role (RFC 8445 §6.1.1), whatever the tie-breakers say.
            Some(ErrorCode::RoleConflict)
        } else {
            None
        };
        if let Some(code) = refusal {
            let reply_len = stun::write_error(reply, transaction, code, message.unknown(), pwd).unwrap_or(0);
            return Ok(Checked {
                reply_len,
                moved: false,
            });
        }
        let reply_len = stun::write_success(reply, transaction, path.remote, pwd).unwrap_or(0);
        self.validate(now, path)?;
        let moved = (message.use_candidate() || self.media.is_none()) && self.media != Some(path);
        if moved {
            self.media = Some(path);
        }
        Ok(Checked { reply_len, moved })
    }

    /// May DTLS and media come and go on this path?
    pub fn is_valid(&self, path: &Path) -> bool {
        // The media path is where nearly every packet comes from.
        self.media.as_ref() == Some(path) || self.valid.iter().any(|valid| valid.path == *path)
    }

    /// Where to send; `None` before the first authenticated check.
    pub fn media_path(&self) -> Option<Path> {
        self.media
    }

    /// The path is gone. Where it carried the media, the path that was checked last takes its place.
    pub fn forget(&mut self, path: &Path) {
        self.valid.retain(|valid| valid.path != *path);
        if self.media.as_ref() == Some(path) {
            self.media = self
                .valid
                .iter()
                .max_by_key(|valid| valid.checked)
                .map(|valid| valid.path);
        }
    }

    /// One path more than the cap replaces the one whose last check is oldest, but never the media path.
    fn validate(&mut self, now: Time, path: Path) -> Result<(), DropReason> {
        let fresh = ValidPath { path, checked: now };
        if let Some(known) = self.valid.iter_mut().find(|valid| valid.path == path) {
            *known = fresh;
            return Ok(());
        }
        if self.valid.len() < MAX_PATHS {
            self.valid.push(fresh);
            return Ok(());
        }
        let media = self.media;
        *self
            .valid
            .iter_mut()
            .filter(|valid| Some(valid.path) != media)
            .min_by_key(|valid| valid.checked)
            .ok_or(DropReason::TooManyAddresses)? = fresh;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
