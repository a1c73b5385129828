//! `rostra._media`: PyO3 conversions and nothing else.
//!
//! Commands are read by attribute, events leave as tuples whose first element names the class in `rostra.model.media`. No media thread ever
//! takes the GIL; a Python thread waits for a media thread in `close` only, and without the GIL.

mod commands;
mod events;
mod rtmp;

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use pyo3::exceptions::{PyException, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rostra_node::{Node, NodeConfig, NodeError, Protocol};

pyo3::create_exception!(
    rostra._media,
    OverloadedError,
    PyException,
    "The command queue is full. Nothing of the call was taken."
);

/// The media plane of this process.
#[pyclass(frozen, module = "rostra._media")]
struct Engine {
    node: Node,
}

#[pymethods]
impl Engine {
    /// Bind the sockets and start the media threads. `host` is an IP literal; a public address is one too, with a port where it differs.
    #[new]
    #[pyo3(signature = (host, port, public_addresses, gso, shards, command_capacity = 65_536, tcp = true))]
    fn new(
        host: &str,
        port: u16,
        public_addresses: Vec<String>,
        gso: bool,
        shards: usize,
        command_capacity: usize,
        tcp: bool,
    ) -> PyResult<Self> {
        let host: IpAddr = host
            .parse()
            .map_err(|_| PyValueError::new_err(format!("host: {host:?} is not an IP address")))?;
        let public_addresses = public_addresses
            .iter()
            .map(|text| public_address(text))
            .collect::<PyResult<_>>()?;
        let config = NodeConfig {
            host,
            port,
            tcp,
            public_addresses,
            gso,
            shards,
            command_capacity,
        };
        let node = Node::open(&config).map_err(|error| match &error {
            NodeError::Shards(_) => PyValueError::new_err(error.to_string()),
            // With the number, Python chooses the subclass of OSError.
            NodeError::Listen(_, cause) | NodeError::ListenTcp(_, cause) | NodeError::System(cause) => {
                match cause.raw_os_error() {
                    Some(number) => PyOSError::new_err((number, error.to_string())),
                    None => PyOSError::new_err(error.to_string()),
                }
            }
            NodeError::Certificate(_) | NodeError::Dtls(_) => PyRuntimeError::new_err(error.to_string()),
        })?;
        Ok(Self { node })
    }

    /// Queue commands, in order, all or none.
    fn submit(&self, commands: &Bound<'_, PyAny>) -> PyResult<()> {
        let orders = commands::read_all(commands)?;
        self.node
            .submit(orders)
            .map_err(|error| OverloadedError::new_err(error.to_string()))
    }

    /// Facts since the last call, in order.
    fn drain<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        self.node
            .drain()
            .into_iter()
            .map(|event| events::to_tuple(py, event))
            .collect()
    }

    /// Readable while `drain` has something.
    fn fileno(&self) -> i32 {
        self.node.as_raw_fd()
    }

    /// SHA-256 of the DTLS certificate, upper-case hex pairs joined by colons.
    #[getter]
    fn fingerprint(&self) -> &str {
        self.node.fingerprint()
    }

    /// (ip, port, protocol), best first.
    #[getter]
    fn candidates(&self) -> Vec<(String, u16, &'static str)> {
        self.node
            .candidates()
            .iter()
            .map(|candidate| {
                let protocol = match candidate.protocol {
                    Protocol::Udp => "udp",
                    Protocol::Tcp => "tcp",
                };
                (candidate.address.ip().to_string(), candidate.address.port(), protocol)
            })
            .collect()
    }

    /// End every transport and the media threads. Idempotent.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.node.close());
    }
}

fn public_address(text: &str) -> PyResult<SocketAddr> {
    text.parse()
        .or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 0)))
        .map_err(|_| PyValueError::new_err(format!("public_addresses: {text:?} is neither IP nor IP:port")))
}

/// The media plane of Rostra, for `rostra.media.native`; the RTMP of encoders, for `rostra.ingest.rtmp`.
#[pymodule]
fn _media(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Engine>()?;
    module.add_class::<rtmp::RtmpSession>()?;
    module.add("RtmpError", module.py().get_type::<rtmp::RtmpError>())?;
    module.add("OverloadedError", module.py().get_type::<OverloadedError>())
}
