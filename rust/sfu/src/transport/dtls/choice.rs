//! Which implementation serves a client: its ClientHello says. Until that is whole, a few datagrams are all the state there is.

use super::by_dimpl::DimplDtls;
use super::by_openssl::OpensslDtls;
use super::hello::{Added, Assembly, first_hellos, is_of_a_browser};
use super::{Dtls, DtlsConfig, DtlsError, DtlsOutput, MAX_DATAGRAM};
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

    /// Keeps a datagram with a part of the hello, which is to be repeated to whoever is chosen; the others are nothing to anybody.
    fn hold(&mut self, datagram: &[u8]) {
        let mut is_of_use = false;
        for fragment in first_hellos(datagram) {
            match self.hello.add(&fragment) {
                Added::Kept => is_of_use = true,
                Added::Anew => {
                    is_of_use = true;
                    self.held.clear();
                }
                Added::Dropped => {}
            }
        }
        if is_of_use {
            if self.held.len() == MAX_HELD {
                self.held.remove(0);
            }
            self.held.push(datagram.to_vec());
        }
    }

    fn choose(&mut self, now: Time, is_browser: bool) -> Box<dyn Dtls> {
        let fingerprints = std::mem::take(&mut self.fingerprints);
        let (config, role) = (&self.config, DtlsRole::Passive);
        if is_browser {
            Box::new(DimplDtls::new(config, role, fingerprints, now))
        } else {
            Box::new(OpensslDtls::new(&config.openssl, role, fingerprints, now))
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
        self.hold(datagram);
        let Some(is_browser) = self.hello.whole().map(is_of_a_browser) else {
            return Ok(());
        };
        let chosen = self.choose(now, is_browser);
        let chosen = self.chosen.insert(chosen);
        self.hello = Assembly::default();
        let mut held = std::mem::take(&mut self.held).into_iter();
        held.try_for_each(|datagram| chosen.packet(now, &datagram))
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
