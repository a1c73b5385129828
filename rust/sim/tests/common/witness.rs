//! Whoever reads along with a client.

use std::collections::HashMap;

use rostra_sfu::ids::Ssrc;
use rostra_sfu::reason::DropReason;
use rostra_sfu::rtp::header::RtpHeader;
use rostra_sfu::rtp::seq::SeqExtender;
use rostra_sfu::transport::dtls::SrtpKeys;
use rostra_sfu::transport::srtp::SrtpIn;

/// Reads along with a client and remembers every plaintext.
pub struct Witness {
    inn: SrtpIn,
    extenders: HashMap<Ssrc, SeqExtender>,
    sealed: HashMap<(Ssrc, u64), Vec<u8>>,
}

impl Witness {
    pub fn new(keys: &SrtpKeys) -> Self {
        Self {
            inn: SrtpIn::new(keys.profile, &keys.inbound),
            extenders: HashMap::new(),
            sealed: HashMap::new(),
        }
    }

    /// How many packets it saw.
    pub fn count(&self) -> usize {
        self.sealed.len()
    }

    /// The number of a packet and its plaintext, but for what comes too late to be read.
    ///
    /// # Panics
    /// When an (SSRC, index) is used a second time: the wire before any loss or duplication sees each once.
    pub fn see(&mut self, datagram: &[u8]) -> (RtpHeader, u64, Option<Vec<u8>>) {
        let mut bytes = datagram.to_vec();
        let header = RtpHeader::parse(&bytes).expect("the server sends good headers");
        let extender = self.extenders.entry(header.ssrc).or_default();
        let index = extender.extend(header.seq);
        let newest = extender.highest().unwrap_or(index);
        let mut readable = true;
        match self.inn.open_rtp(&mut bytes, header.header_len) {
            Ok(len) => bytes.truncate(len),
            // The receiving side remembers 128 packets; what is later than that it cannot read.
            Err(DropReason::SrtpReplay) if index + 128 <= newest => readable = false,
            Err(reason) => panic!("{:?} {index} after {newest}: {reason}", header.ssrc),
        }
        let before = self.sealed.insert((header.ssrc, index), bytes.clone());
        assert!(before.is_none(), "{:?} {index} sealed twice", header.ssrc);
        (header, index, readable.then_some(bytes))
    }
}
