//! [`Dtls`] of our own, for whoever is no browser: DTLS 1.2 with ECDHE and AES-GCM, peers with RSA and with ECDSA on every curve of NIST (ADR 11).
//!
//! No more than WebRTC needs: no resumption, no renegotiation, no tickets, one certificate, the extended master secret always. This file has
//! records, flights and timers; `own/handshake.rs` what is said.

mod handshake;
mod hello;
mod keys;
mod signature;

use std::collections::VecDeque;
use std::time::Duration;

use self::handshake::{Expect, FINISHED, Pending};
use self::keys::{OVERHEAD, RecordKey};
use super::assembly::{Added, Assembly};
use super::wire::{
    self, ALERT, CHANGE_CIPHER_SPEC, Fragment, HANDSHAKE, MESSAGE_HEADER, RECORD_HEADER, Record, fragment, fragments,
    record, records,
};
use super::{
    Dtls, DtlsError, DtlsOutput, FIRST_RETRANSMISSION, HANDSHAKE_TIMEOUT, MAX_DATAGRAM, MTU, RETRANSMISSIONS,
    SharedIdentity, SrtpKeys,
};
use crate::command::{DtlsRole, Fingerprint};
use crate::time::Time;

pub(super) use self::handshake::CLIENT_HELLO;
pub(super) use self::hello::ClientHello;
pub(super) use self::keys::Window;
pub(super) use self::signature::Identity;
#[cfg(test)]
pub(super) use self::signature::PeerKey;

const FATAL: u8 = 2;
const WARNING: u8 = 1;
const CLOSE_NOTIFY: u8 = 0;
/// A Finished that overtakes what its keys come from is kept when it is no longer than this; it has 61 bytes.
const MAX_EARLY: usize = 256;

/// One association.
pub(super) struct OwnDtls {
    role: DtlsRole,
    identity: SharedIdentity,
    fingerprints: Vec<Fingerprint>,
    state: State,
    expect: Expect,
    /// What only the handshake needs.
    pending: Option<Box<Pending>>,
    assembly: Assembly,
    /// The peer's protection, and ours.
    read: Option<RecordKey>,
    write: Option<RecordKey>,
    window: Window,
    /// The next record of each epoch.
    write_seq: [u64; 2],
    /// The next handshake message.
    message_seq: u16,
    flight: Vec<Item>,
    /// When the flight was sent last, and how often again.
    sent: Time,
    repeated: usize,
    deadline: Time,
    timer: Option<Time>,
    /// Datagrams that overtook their keys: one at most.
    early: Option<Vec<u8>>,
    packets: VecDeque<Vec<u8>>,
    keys: Option<Box<SrtpKeys>>,
    peer_closed: bool,
    announce: bool,
}

enum State {
    Open,
    /// For ever.
    Failed(DtlsError),
}

/// Part of a flight, as it is sent again.
enum Item {
    Message { kind: u8, seq: u16, body: Vec<u8> },
    NewKeys,
}

impl std::fmt::Debug for OwnDtls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnDtls")
            .field("role", &self.role)
            .field("expect", &self.expect)
            .finish_non_exhaustive()
    }
}

impl OwnDtls {
    pub(super) fn new(identity: SharedIdentity, role: DtlsRole, fingerprints: Vec<Fingerprint>, now: Time) -> Self {
        let mut dtls = Self {
            role,
            identity,
            fingerprints,
            state: State::Open,
            expect: match role {
                DtlsRole::Passive => Expect::ClientHello,
                DtlsRole::Active => Expect::ServerHello,
            },
            pending: Some(Box::default()),
            assembly: Assembly::default(),
            read: None,
            write: None,
            window: Window::default(),
            write_seq: [0; 2],
            message_seq: 0,
            flight: Vec::new(),
            sent: now,
            repeated: 0,
            deadline: now + HANDSHAKE_TIMEOUT,
            timer: Some(now + HANDSHAKE_TIMEOUT),
            early: None,
            packets: VecDeque::new(),
            keys: None,
            peer_closed: false,
            announce: true,
        };
        // An error stays and comes back from the next call.
        let result = match role {
            DtlsRole::Passive => Ok(()),
            DtlsRole::Active => dtls.say_hello(now, &[]),
        };
        let _ = dtls.settle(result);
        dtls
    }

    fn is_done(&self) -> bool {
        self.expect == Expect::Nothing
    }

    fn open(&mut self) -> Result<(), DtlsError> {
        self.announce = true;
        match &self.state {
            State::Open => Ok(()),
            State::Failed(error) => Err(error.clone()),
        }
    }

    fn settle(&mut self, result: Result<(), DtlsError>) -> Result<(), DtlsError> {
        if let Err(error) = &result {
            self.state = State::Failed(error.clone());
            self.forget();
            self.packets.clear();
            self.flight.clear();
            self.keys = None;
            self.peer_closed = false;
            self.timer = None;
        }
        result
    }

    /// What the handshake needed and nobody needs any more.
    fn forget(&mut self) {
        self.pending = None;
        self.early = None;
        self.assembly.clear();
    }

    fn datagram(&mut self, now: Time, datagram: &[u8]) -> Result<(), DtlsError> {
        for record in records(datagram) {
            self.record(now, &record)?;
        }
        loop {
            if let Some(message) = self.assembly.pop() {
                self.message(now, &message)?;
            } else if self.read.is_some()
                && let Some(early) = self.early.take()
            {
                for record in records(&early) {
                    self.record(now, &record)?;
                }
            } else {
                return Ok(());
            }
        }
    }

    fn record(&mut self, now: Time, record: &Record<'_>) -> Result<(), DtlsError> {
        match (record.epoch, record.kind) {
            // Nothing in the clear counts any more once there are keys: anybody can write it.
            (0, HANDSHAKE) if !self.is_done() => self.take(now, 0, record.body),
            (0, ALERT) if !self.is_done() => self.refusal(record.body)?,
            (1, HANDSHAKE | ALERT) => {
                let Some(key) = &self.read else {
                    if RECORD_HEADER + record.body.len() <= MAX_EARLY && !self.is_done() {
                        let mut early = Vec::new();
                        wire::record(&mut early, record.kind, record.epoch, record.seq, record.body);
                        self.early = Some(early);
                    }
                    return Ok(());
                };
                if !self.window.is_new(record.seq) {
                    return Ok(());
                }
                let Some(body) = key.open(record) else {
                    return Ok(());
                };
                self.window.insert(record.seq);
                if record.kind == HANDSHAKE {
                    self.take(now, 1, &body);
                } else if self.is_done() {
                    self.peer_closed |= matches!(body.as_slice(), [FATAL, _] | [_, CLOSE_NOTIFY]);
                } else {
                    self.refusal(&body)?;
                }
            }
            // Application data, new keys (the epoch says so), epochs that never begin.
            (_, _) => {}
        }
        Ok(())
    }

    /// An alert before the handshake is done. Not before the peer has said anything: until then, whoever sends it is not in it.
    fn refusal(&self, alert: &[u8]) -> Result<(), DtlsError> {
        match alert {
            [FATAL, code] if self.assembly.next() > 0 => {
                Err(DtlsError::Failed(format!("the peer refuses with alert {code}")))
            }
            [WARNING, CLOSE_NOTIFY] if self.assembly.next() > 0 => Err(DtlsError::Failed(
                "the peer said good-bye during the handshake".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    fn take(&mut self, now: Time, epoch: u16, body: &[u8]) {
        for fragment in fragments(body) {
            // Only a Finished is protected. Done, there is nothing new to say.
            let misplaced = (fragment.kind == FINISHED) != (epoch == 1);
            if misplaced || (self.is_done() && fragment.seq >= self.assembly.next()) {
                continue;
            }
            match self.assembly.add(&fragment) {
                Added::Old => self.repeat_if_lost(now),
                Added::Kept | Added::Anew | Added::Dropped => {}
            }
        }
    }

    /// The peer repeats itself, so what we said may be lost. Answered ever more seldom, and seven times at most.
    fn repeat_if_lost(&mut self, now: Time) {
        if now.since(self.sent) >= self.patience() {
            self.repeat(now);
        }
    }

    fn patience(&self) -> Duration {
        FIRST_RETRANSMISSION * (1 << self.repeated.min(RETRANSMISSIONS))
    }

    fn repeat(&mut self, now: Time) {
        if self.repeated < RETRANSMISSIONS && !self.flight.is_empty() {
            self.repeated += 1;
            self.transmit(now);
        } else if !self.is_done() {
            self.timer = Some(self.deadline);
        }
    }

    /// Say this, until the peer answers.
    fn send_flight(&mut self, now: Time, flight: Vec<Item>) {
        self.flight = flight;
        self.repeated = 0;
        self.transmit(now);
    }

    /// A message of ours with its number.
    fn message_of(&mut self, kind: u8, body: Vec<u8>) -> Item {
        let seq = self.message_seq;
        self.message_seq = self.message_seq.wrapping_add(1);
        Item::Message { kind, seq, body }
    }

    fn transmit(&mut self, now: Time) {
        let flight = std::mem::take(&mut self.flight);
        let mut datagram = Vec::new();
        for item in &flight {
            match item {
                Item::NewKeys => {
                    self.make_room(&mut datagram, RECORD_HEADER + 1);
                    let seq = self.next_seq(0);
                    record(&mut datagram, CHANGE_CIPHER_SPEC, 0, seq, &[1]);
                }
                Item::Message { kind, seq, body } if *kind == FINISHED => {
                    self.make_room(&mut datagram, RECORD_HEADER + OVERHEAD + MESSAGE_HEADER + body.len());
                    let message = whole(*kind, *seq, body);
                    self.protect(&mut datagram, HANDSHAKE, &message);
                }
                Item::Message { kind, seq, body } => self.append(&mut datagram, *kind, *seq, body),
            }
        }
        self.make_room(&mut datagram, MTU);
        self.flight = flight;
        self.sent = now;
        self.timer = (!self.is_done()).then(|| (now + self.patience()).min(self.deadline));
    }

    /// Appends a message in the clear, in as many records as it takes.
    fn append(&mut self, datagram: &mut Vec<u8>, kind: u8, seq: u16, body: &[u8]) {
        let mut rest = body;
        loop {
            // A piece of a few bytes is not worth its headers.
            self.make_room(datagram, RECORD_HEADER + MESSAGE_HEADER + rest.len().min(64));
            let room = MTU.saturating_sub(datagram.len() + RECORD_HEADER + MESSAGE_HEADER);
            let (bytes, behind) = rest.split_at(rest.len().min(room));
            let mut piece = Vec::new();
            fragment(
                &mut piece,
                &Fragment {
                    kind,
                    len: body.len(),
                    seq,
                    offset: body.len() - rest.len(),
                    bytes,
                },
            );
            let number = self.next_seq(0);
            record(datagram, HANDSHAKE, 0, number, &piece);
            rest = behind;
            if rest.is_empty() {
                return;
            }
        }
    }

    /// A datagram in which `len` more bytes have no room leaves.
    fn make_room(&mut self, datagram: &mut Vec<u8>, len: usize) {
        if datagram.len() + len > MTU && !datagram.is_empty() {
            self.packets.push_back(std::mem::take(datagram));
        }
    }

    fn protect(&mut self, datagram: &mut Vec<u8>, kind: u8, body: &[u8]) {
        let seq = self.next_seq(1);
        if let Some(key) = &self.write {
            // Sealing fails for bodies of gigabytes only.
            let _ = key.seal(datagram, kind, 1, seq, body);
        }
    }

    fn next_seq(&mut self, epoch: usize) -> u64 {
        let Some(next) = self.write_seq.get_mut(epoch) else {
            return 0;
        };
        *next += 1;
        *next - 1
    }
}

/// A handshake message in one piece: as it is hashed.
fn whole(kind: u8, seq: u16, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(MESSAGE_HEADER + body.len());
    fragment(
        &mut out,
        &Fragment {
            kind,
            len: body.len(),
            seq,
            offset: 0,
            bytes: body,
        },
    );
    out
}

impl Dtls for OwnDtls {
    fn packet(&mut self, now: Time, datagram: &[u8]) -> Result<(), DtlsError> {
        self.open()?;
        if datagram.len() > MAX_DATAGRAM {
            return Ok(());
        }
        let result = self.datagram(now, datagram);
        self.settle(result)
    }

    fn timeout(&mut self, now: Time) -> Result<(), DtlsError> {
        self.open()?;
        if self.timer.is_none_or(|at| now < at) {
            return Ok(());
        }
        if now >= self.deadline {
            return self.settle(Err(DtlsError::Failed("the handshake took too long".to_owned())));
        }
        self.repeat(now);
        Ok(())
    }

    fn poll<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        while let Some(packet) = self.packets.pop_front() {
            if packet.len() <= buf.len() {
                let (out, _) = buf.split_at_mut(packet.len());
                out.copy_from_slice(&packet);
                return DtlsOutput::Packet(out);
            }
        }
        if let Some(keys) = self.keys.take() {
            return DtlsOutput::Connected(keys);
        }
        if std::mem::take(&mut self.peer_closed) {
            return DtlsOutput::PeerClosed;
        }
        match self.timer {
            Some(at) if std::mem::take(&mut self.announce) => DtlsOutput::Timeout(at),
            Some(_) | None => DtlsOutput::Idle,
        }
    }

    fn close(&mut self, _: Time) {
        if self.open().is_ok() && self.is_done() {
            let mut datagram = Vec::new();
            self.protect(&mut datagram, ALERT, &[WARNING, CLOSE_NOTIFY]);
            self.packets.push_back(datagram);
        }
    }
}
