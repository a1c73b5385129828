//! What a DTLS handshake costs the server, with dimpl and with OpenSSL: processor time, allocations, and the heap that stays.
//!
//! `handshakes [dimpl|openssl] [COUNT]`. The client is dimpl's either way; one that proposes DTLS 1.3 is taken for a browser. For
//! instructions: `valgrind --tool=callgrind --toggle-collect='*Undecided*packet*' handshakes openssl 100`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rostra_sfu::command::{DtlsRole, Fingerprint, Hash};
use rostra_sfu::time::Time;
use rostra_sfu::transport::certificate::Certificate;
use rostra_sfu::transport::dtls::{self, Dtls, DtlsConfig, DtlsOutput};
use rostra_sim::counting::{Counting, allocations, cpu_time, heap_bytes};

#[global_allocator]
static COUNTING: Counting = Counting;

type Error = Box<dyn std::error::Error>;

struct World {
    base: Instant,
    config: DtlsConfig,
    client: Arc<dimpl::Config>,
    certificate: dimpl::DtlsCertificate,
    fingerprints: Vec<Fingerprint>,
}

#[derive(Default)]
struct Spent {
    time: Duration,
    allocations: u64,
}

impl Spent {
    fn on<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (time, before) = (cpu_time(), allocations());
        let result = work();
        self.time += cpu_time() - time;
        self.allocations += allocations() - before;
        result
    }
}

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let count = arguments.iter().find_map(|text| text.parse().ok()).unwrap_or(1_000);
    let wanted = |name: &str| arguments.iter().all(|text| text.parse::<u32>().is_ok() || text == name);
    let base = Instant::now();
    let certificate = dimpl::certificate::generate_self_signed_certificate()?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &certificate.certificate);
    let world = World {
        base,
        config: DtlsConfig::new(base, &Certificate::generate()?)?,
        client: Arc::new(dimpl::Config::builder().build()?),
        certificate,
        fingerprints: vec![Fingerprint {
            hash: Hash::Sha256,
            digest: digest.as_ref().to_vec(),
        }],
    };
    for (name, is_browser) in [("dimpl", true), ("openssl", false)] {
        if wanted(name) {
            world.measure(name, is_browser, count)?;
        }
    }
    Ok(())
}

impl World {
    fn measure(&self, name: &str, is_browser: bool, count: usize) -> Result<(), Error> {
        // Tables and curves that are made once.
        self.shake(is_browser, &mut Spent::default())?;
        let mut spent = Spent::default();
        let mut kept = Vec::with_capacity(count);
        let before = heap_bytes();
        for _ in 0..count {
            kept.push(self.shake(is_browser, &mut spent)?);
        }
        let heap = heap_bytes() - before;
        println!(
            "{name}: {:.0} µs, {:.0} allocations, {:.1} KB of heap when connected",
            spent.time.as_secs_f64() * 1e6 / count as f64,
            spent.allocations as f64 / count as f64,
            heap as f64 / 1024.0 / count as f64,
        );
        Ok(())
    }

    /// One handshake; what the server does is counted.
    fn shake(&self, is_browser: bool, spent: &mut Spent) -> Result<Box<dyn Dtls>, Error> {
        let (config, certificate) = (Arc::clone(&self.client), self.certificate.clone());
        let mut client = if is_browser {
            dimpl::Dtls::new_auto(config, certificate, self.base)
        } else {
            dimpl::Dtls::new_12(config, certificate, self.base)
        };
        client.set_active(true);
        let now = Time::ZERO;
        let mut server = spent.on(|| dtls::new(&self.config, DtlsRole::Passive, self.fingerprints.clone(), now));
        let mut buffer = vec![0; 4_096];
        let mut connected = false;
        for _ in 0..8 {
            client.handle_timeout(self.base)?;
            loop {
                match client.poll_output(&mut buffer) {
                    dimpl::Output::Packet(packet) => spent.on(|| server.packet(now, packet))?,
                    dimpl::Output::Timeout(_) => break,
                    _ => {}
                }
            }
            loop {
                match spent.on(|| server.poll(&mut buffer)) {
                    DtlsOutput::Packet(packet) => client.handle_packet(packet)?,
                    DtlsOutput::Connected(_) => connected = true,
                    DtlsOutput::Timeout(_) | DtlsOutput::PeerClosed => {}
                    DtlsOutput::Idle => break,
                }
            }
        }
        connected.then_some(server).ok_or_else(|| "no handshake".into())
    }
}
