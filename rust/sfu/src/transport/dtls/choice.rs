//! Which implementation serves a client: its ClientHello says. Until that is whole, a few datagrams are all the state there is.

use super::assembly::{Added, Assembly};
use super::library::DimplDtls;
use super::own::{CLIENT_HELLO, ClientHello, OwnDtls};
use super::wire::{HANDSHAKE, fragments, records};
use super::{Dtls, DtlsConfig, DtlsError, DtlsOutput, MAX_DATAGRAM, SharedIdentity};
use crate::command::{DtlsRole, Fingerprint};
use crate::time::Time;

/// Datagrams of a ClientHello. Chromium's has two.
const MAX_HELD: usize = 8;

/// An association in the passive role.
pub(super) struct Undecided {
    config: DtlsConfig,
    fingerprints: Vec<Fingerprint>,
    hello: Assembly,
    held: Vec<Vec<u8>>,
    chosen: Option<Box<dyn Dtls>>,
}

impl Undecided {
    pub(super) fn new(config: &DtlsConfig, fingerprints: Vec<Fingerprint>) -> Self {
        Self {
            config: config.clone(),
            fingerprints,
            hello: Assembly::default(),
            held: Vec::new(),
            chosen: None,
        }
    }

    /// `true` when the hello is whole, and so what came of it is to be repeated to whoever is chosen.
    fn hold(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        let mut is_of_use = false;
        let hellos = records(datagram)
            .filter(|record| record.epoch == 0 && record.kind == HANDSHAKE)
            .flat_map(|record| fragments(record.body))
            .filter(|fragment| fragment.kind == CLIENT_HELLO && fragment.seq == 0);
        for fragment in hellos {
            match self.hello.add(&fragment) {
                Added::Kept => is_of_use = true,
                Added::Anew => {
                    is_of_use = true;
                    self.held.clear();
                }
                Added::Old | Added::Dropped => {}
            }
        }
        if is_of_use {
            if self.held.len() == MAX_HELD {
                self.held.remove(0);
            }
            self.held.push(datagram.to_vec());
        }
        self.hello.pop().map(|message| message.body)
    }

    fn choose(&mut self, now: Time, hello: &[u8]) -> Box<dyn Dtls> {
        let fingerprints = std::mem::take(&mut self.fingerprints);
        if ClientHello::parse(hello).is_some_and(|hello| hello.is_of_a_browser()) {
            Box::new(DimplDtls::new(&self.config, DtlsRole::Passive, fingerprints, now))
        } else {
            let identity = SharedIdentity::clone(&self.config.identity);
            Box::new(OwnDtls::new(identity, DtlsRole::Passive, fingerprints, now))
        }
    }
}

impl Dtls for Undecided {
    fn packet(&mut self, now: Time, datagram: &[u8]) -> Result<(), DtlsError> {
        if let Some(chosen) = &mut self.chosen {
            return chosen.packet(now, datagram);
        }
        if datagram.len() > MAX_DATAGRAM {
            return Ok(());
        }
        let Some(hello) = self.hold(datagram) else {
            return Ok(());
        };
        let mut chosen = self.choose(now, &hello);
        let mut held = std::mem::take(&mut self.held).into_iter();
        let result = held.try_for_each(|datagram| chosen.packet(now, &datagram));
        self.hello.clear();
        self.chosen = Some(chosen);
        result
    }

    fn timeout(&mut self, now: Time) -> Result<(), DtlsError> {
        self.chosen.as_mut().map_or(Ok(()), |chosen| chosen.timeout(now))
    }

    fn poll<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        match &mut self.chosen {
            Some(chosen) => chosen.poll(buf),
            None => DtlsOutput::Idle,
        }
    }

    fn close(&mut self, now: Time) {
        if let Some(chosen) = &mut self.chosen {
            chosen.close(now);
        }
    }
}
