//! ICE-lite (RFC 8445 §2.5): the peer checks, we answer. The one thing that decides which addresses may talk to a transport.
//!
//! How long an address stays welcome (consent, RFC 7675) is not decided here: who owns the transport knows of every authenticated packet.

use std::time::Duration;

use crate::outbox::Path;
use crate::reason::DropReason;
use crate::time::Time;
use crate::transport::stun::{self, ErrorCode, IceRole, Message, MessageClass};

/// Most paths of one transport that are valid at a time.
pub const MAX_PATHS: usize = 16;
/// After a restart the paths of before stay valid for so long behind the first nomination: until our answer is there, and a little longer, the
/// peer sends on the old one.
pub const PARTING: Duration = Duration::from_secs(2);

/// Our half of ICE for one transport. Always controlled.
pub struct IceLite {
    current: Credentials,
    /// Of a restart that the peer has not taken up yet (RFC 8445 §9).
    next: Option<Credentials>,
    /// Grows with authenticated checks only.
    valid: Vec<ValidPath>,
    media: Option<Path>,
    /// The first nomination after a restart, while paths of before are left.
    parting: Option<Time>,
}

/// What a check has to know to count. The peer's password would be the key of checks of our own; a lite agent sends none, so it is not kept.
struct Credentials {
    local_ufrag: String,
    local_pwd: String,
    remote_ufrag: String,
}

impl Credentials {
    fn new(local_ufrag: &str, local_pwd: &str, remote_ufrag: &str) -> Self {
        Self {
            local_ufrag: local_ufrag.to_owned(),
            local_pwd: local_pwd.to_owned(),
            remote_ufrag: remote_ufrag.to_owned(),
        }
    }

    fn authenticate(&self, message: &Message<'_>) -> bool {
        message.local_ufrag() == Some(self.local_ufrag.as_str())
            && message.remote_ufrag() == Some(self.remote_ufrag.as_str())
            && message.verify(self.local_pwd.as_bytes())
    }
}

#[derive(Clone, Copy, Debug)]
struct ValidPath {
    path: Path,
    checked: Time,
    /// Only credentials that count no longer have validated it.
    is_old: bool,
}

/// What came of an authenticated request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checked {
    /// Bytes of the response; 0 when there is nothing to say.
    pub reply_len: usize,
    /// The media path is another one than before.
    pub moved: bool,
    /// Our fragment of before a restart, which counts no longer: this was the first check with the new credentials.
    pub retired: Option<String>,
    /// Paths of before a restart are valid no more.
    pub parted: bool,
}

impl std::fmt::Debug for IceLite {
    /// Leaves passwords out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceLite")
            .field("local_ufrag", &self.current.local_ufrag)
            .field("remote_ufrag", &self.current.remote_ufrag)
            .field("next_ufrag", &self.next.as_ref().map(|next| &next.local_ufrag))
            .field("valid", &self.valid)
            .field("media", &self.media)
            .finish_non_exhaustive()
    }
}

impl IceLite {
    /// No path is valid yet.
    pub fn new(local_ufrag: &str, local_pwd: &str, remote_ufrag: &str) -> Self {
        Self {
            current: Credentials::new(local_ufrag, local_pwd, remote_ufrag),
            next: None,
            valid: Vec::new(),
            media: None,
            parting: None,
        }
    }

    /// Take checks with these credentials, too (RFC 8445 §9); the first one makes them the only ones. Media stays where it is until the peer
    /// nominates; [`PARTING`] behind that, only paths that they validated are left. Returns our fragment of an earlier restart that nobody took up, and nobody can any more.
    pub fn restart(&mut self, local_ufrag: &str, local_pwd: &str, remote_ufrag: &str) -> Option<String> {
        let next = Credentials::new(local_ufrag, local_pwd, remote_ufrag);
        self.next.replace(next).map(|unused| unused.local_ufrag)
    }

    /// Our fragments, by which checks find this transport: two while a restart is under way.
    pub fn local_ufrags(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.current)
            .chain(&self.next)
            .map(|credentials| credentials.local_ufrag.as_str())
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
        let renews = !self.current.authenticate(message);
        let credentials = match &self.next {
            Some(next) if renews && next.authenticate(message) => next,
            Some(_) | None if renews => return Err(DropReason::StunUnauthenticated),
            Some(_) | None => &self.current,
        };
        let (transaction, pwd) = (message.transaction(), credentials.local_pwd.as_bytes());
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
                retired: None,
                parted: false,
            });
        }
        let reply_len = stun::write_success(reply, transaction, path.remote, pwd).unwrap_or(0);
        self.validate(now, path)?;
        let moved = (message.use_candidate() || self.media.is_none()) && self.media != Some(path);
        if moved {
            self.media = Some(path);
        }
        let next = if renews { self.next.take() } else { None };
        let retired = next.map(|next| std::mem::replace(&mut self.current, next).local_ufrag);
        if retired.is_some() {
            self.parting = None;
            for valid in &mut self.valid {
                valid.is_old = valid.path != path;
            }
        }
        if message.use_candidate() && self.valid.iter().any(|valid| valid.is_old) {
            self.parting.get_or_insert(now);
        }
        let parted = self.part(now);
        Ok(Checked {
            reply_len,
            moved,
            retired,
            parted,
        })
    }

    /// Let go of paths of before a restart when it is time. Checks go on for as long as there is consent, so they are clock enough.
    fn part(&mut self, now: Time) -> bool {
        let is_time = self.parting.is_some_and(|since| now.since(since) >= PARTING);
        if is_time {
            self.parting = None;
            let media = self.media;
            self.valid.retain(|valid| !valid.is_old || media == Some(valid.path));
        }
        is_time
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
        let fresh = ValidPath {
            path,
            checked: now,
            is_old: false,
        };
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
