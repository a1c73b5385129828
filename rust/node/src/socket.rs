//! One UDP socket that knows, for every datagram, which of our addresses it came to, and that sends runs in one system call.
//!
//! **What happens to a datagram that does not go out.** Media is lossy and a queue in front of a full socket only adds delay, so nothing is kept:
//! with the send buffer full (8 MiB are asked for, which is tens of milliseconds of a 1 Gb/s link) the rest of the outbox is dropped and counted,
//! and retransmission repairs what matters. Any other error costs that one datagram or run.

use std::io;
use std::mem::size_of;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};

use rostra_sfu::outbox::{Outbox, Path, Via};
use rostra_sfu::shard::Datagram;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::sys::{receive_overflow, set_option};

/// Most datagrams of one system call.
pub const BATCH: usize = 64;
/// Room for one received datagram, bytes. More than any MTU that we meet; a longer one is dropped.
pub const DATAGRAM: usize = 2048;
/// Asked of the kernel for each direction, bytes: feedback of thousands of viewers arrives on this one port.
const BUFFER: i32 = 8 << 20;
/// Room for control messages: IPV6_PKTINFO (40 bytes with header and padding) and UDP_SEGMENT (24).
const CONTROL: usize = 96;

/// Control messages of one datagram (cmsg(3)), aligned as the kernel writes them.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// What became of an outbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sent {
    /// Datagrams that the kernel took.
    pub datagrams: u64,
    /// Datagrams dropped because the send buffer was full.
    pub full: u64,
    /// Datagrams that the kernel refused for another reason.
    pub errors: u64,
    /// Runs repeated without segmentation offload.
    pub gso_fallbacks: u64,
}

/// A bound UDP socket.
#[derive(Debug)]
pub struct UdpPort {
    socket: Socket,
    local: SocketAddr,
    gso: bool,
}

impl UdpPort {
    /// Bind `address`; `[::]` takes IPv4 too. `grouped`: share the address with the other shards' sockets (SO_REUSEPORT); otherwise an
    /// address in use is an error.
    pub fn open(address: SocketAddr, gso: bool, grouped: bool) -> io::Result<Self> {
        let kind = Type::DGRAM.nonblocking().cloexec();
        let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::UDP))?;
        let fd = socket.as_raw_fd();
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
            // A dual-stack socket tells and takes IPv4 addresses here too, mapped into IPv6.
            set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1i32)?;
        } else {
            set_option(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1i32)?;
        }
        // The plain options stop at net.core.[rw]mem_max, the forcing ones need CAP_NET_ADMIN.
        if set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, BUFFER).is_err() {
            set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, BUFFER)?;
        }
        if set_option(fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, BUFFER).is_err() {
            set_option(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, BUFFER)?;
        }
        socket.set_reuse_port(grouped)?;
        socket.bind(&SockAddr::from(address))?;
        let local = socket
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::Error::other("a UDP socket without an address"))?;
        Ok(Self { socket, local, gso })
    }

    /// The bound address, with the port that the system chose for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Datagrams that the kernel dropped because the receive buffer was full, since the socket exists.
    pub fn receive_overflow(&self) -> u64 {
        receive_overflow(self.socket.as_raw_fd())
    }

    /// Replace the contents of `batch` with what is waiting, at most [`BATCH`] datagrams. Never blocks. `true`: there may be more.
    ///
    /// Errors are no news about a datagram of ours (a peer's ICMP, a signal), so they read as "nothing".
    pub fn receive(&self, batch: &mut Batch) -> bool {
        batch.received.clear();
        batch.truncated = 0;
        let mut vectors: [libc::iovec; BATCH] = std::array::from_fn(|_| libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        });
        // SAFETY: mmsghdr is made of integers and pointers; all zeros is an empty header.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        let slots = batch
            .bytes
            .chunks_exact_mut(DATAGRAM)
            .zip(&mut batch.names)
            .zip(&mut batch.controls);
        for ((header, vector), ((bytes, name), control)) in headers.iter_mut().zip(&mut vectors).zip(slots) {
            vector.iov_base = bytes.as_mut_ptr().cast();
            vector.iov_len = bytes.len();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = (&raw mut *name).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL as _;
        }
        // SAFETY: every header describes its own vector, name and control buffer, with their true sizes; all of them outlive the call.
        let count = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).unwrap_or(0);
        for (slot, header) in headers.iter().take(count).enumerate() {
            if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
                batch.truncated += 1;
                continue;
            }
            let Some(from) = batch
                .names
                .get(slot)
                .and_then(|name| peer_of(name, header.msg_hdr.msg_namelen))
            else {
                continue;
            };
            let to = destination(&header.msg_hdr).unwrap_or_else(|| self.local.ip());
            batch.received.push(Received {
                slot,
                len: header.msg_len as usize,
                from,
                to: SocketAddr::new(to, self.local.port()),
            });
        }
        count == BATCH
    }

    /// Send everything in `outbox` that goes by UDP. Never blocks. The caller clears the outbox afterwards.
    pub fn send(&self, outbox: &Outbox) -> Sent {
        let mut sent = Sent::default();
        let mut batch = [Message::EMPTY; BATCH];
        let mut used = 0;
        for run in outbox.runs() {
            let Via::Udp = run.path.via else {
                continue;
            };
            let whole = outbox.bytes(run);
            let whole_run = self.gso && whole.len() > run.segment;
            let piece = if whole_run { whole.len() } else { run.segment };
            for bytes in whole.chunks(piece.max(1)) {
                let message = Message {
                    path: Some(run.path),
                    bytes,
                    segment: if whole_run { run.segment } else { 0 },
                };
                if let Some(slot) = batch.get_mut(used) {
                    *slot = message;
                    used += 1;
                }
                if used == BATCH {
                    self.send_messages(&batch, &mut sent);
                    used = 0;
                }
            }
        }
        self.send_messages(batch.get(..used).unwrap_or_default(), &mut sent);
        sent
    }

    /// Send at most [`BATCH`] messages, whatever happens to single ones.
    fn send_messages(&self, messages: &[Message<'_>], sent: &mut Sent) {
        let mut rest = messages;
        while let Some((first, others)) = rest.split_first() {
            // sendmmsg reports an error only when it is the first message that fails.
            let error = match self.send_some(rest) {
                Ok(count) => {
                    let (done, left) = rest.split_at(count.clamp(1, rest.len()));
                    sent.datagrams += done.iter().map(Message::datagrams).sum::<u64>();
                    rest = left;
                    continue;
                }
                Err(error) => error.raw_os_error().unwrap_or(0),
            };
            match error {
                libc::EINTR => continue,
                libc::EAGAIN | libc::ENOBUFS => {
                    sent.full += rest.iter().map(Message::datagrams).sum::<u64>();
                    return;
                }
                // A segment above the path's MTU, or a device without checksum offload.
                libc::EINVAL | libc::EIO if first.segment > 0 => {
                    sent.gso_fallbacks += 1;
                    self.send_plainly(first, sent);
                }
                _ => sent.errors += first.datagrams(),
            }
            rest = others;
        }
    }

    /// A segmented message as single datagrams.
    fn send_plainly(&self, message: &Message<'_>, sent: &mut Sent) {
        let mut batch = [Message::EMPTY; BATCH];
        let mut used = 0;
        for (slot, bytes) in batch.iter_mut().zip(message.bytes.chunks(message.segment.max(1))) {
            *slot = Message {
                path: message.path,
                bytes,
                segment: 0,
            };
            used += 1;
        }
        self.send_messages(batch.get(..used).unwrap_or_default(), sent);
    }

    /// One sendmmsg. How many of `messages` the kernel took.
    fn send_some(&self, messages: &[Message<'_>]) -> io::Result<usize> {
        let mut vectors: [libc::iovec; BATCH] = std::array::from_fn(|_| libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        });
        // SAFETY: mmsghdr is made of integers and pointers; all zeros is an empty header.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        let mut controls = [Control([0; CONTROL]); BATCH];
        let mut names: [Option<SockAddr>; BATCH] = std::array::from_fn(|_| None);
        let slots = headers.iter_mut().zip(&mut vectors).zip(&mut names).zip(&mut controls);
        let mut count = 0;
        for (message, (((header, vector), name), control)) in messages.iter().zip(slots) {
            let Some(path) = message.path else { break };
            let name = name.insert(SockAddr::from(self.own_family(path.remote)));
            vector.iov_base = message.bytes.as_ptr().cast_mut().cast();
            vector.iov_len = message.bytes.len();
            header.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = name.len();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            let used = self.write_control(control, path.local.ip(), message.segment);
            if used > 0 {
                header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
                header.msg_hdr.msg_controllen = used as _;
            }
            count += 1;
        }
        // SAFETY: the first `count` headers describe buffers that outlive the call, with their true sizes; the kernel only reads them.
        let result = unsafe {
            libc::sendmmsg(
                self.socket.as_raw_fd(),
                headers.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT as _,
            )
        };
        usize::try_from(result).map_err(|_| io::Error::last_os_error())
    }

    /// The source address and the segment size as control messages. Bytes used.
    fn write_control(&self, control: &mut Control, source: IpAddr, segment: usize) -> usize {
        let mut used = 0;
        if !source.is_unspecified() {
            if self.local.is_ipv6() {
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr {
                        s6_addr: mapped(source).octets(),
                    },
                    ipi6_ifindex: 0,
                };
                used = control.push(used, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
            } else if let IpAddr::V4(source) = source {
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr {
                        s_addr: u32::from_ne_bytes(source.octets()),
                    },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                used = control.push(used, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
            }
        }
        if let Ok(segment) = u16::try_from(segment)
            && segment > 0
        {
            used = control.push(used, libc::SOL_UDP, libc::UDP_SEGMENT, segment);
        }
        used
    }

    /// `remote` as this socket takes it.
    fn own_family(&self, remote: SocketAddr) -> SocketAddr {
        match remote {
            SocketAddr::V4(v4) if self.local.is_ipv6() => {
                SocketAddr::new(IpAddr::V6(v4.ip().to_ipv6_mapped()), v4.port())
            }
            SocketAddr::V4(_) | SocketAddr::V6(_) => remote,
        }
    }
}

impl AsRawFd for UdpPort {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// One datagram, or a run that the kernel cuts into datagrams.
#[derive(Clone, Copy)]
struct Message<'a> {
    path: Option<Path>,
    bytes: &'a [u8],
    /// 0: one datagram.
    segment: usize,
}

impl Message<'_> {
    const EMPTY: Self = Self {
        path: None,
        bytes: &[],
        segment: 0,
    };

    fn datagrams(&self) -> u64 {
        if self.segment == 0 {
            1
        } else {
            self.bytes.len().div_ceil(self.segment) as u64
        }
    }
}

impl Control {
    /// Append a control message behind the first `used` bytes. Bytes used then; unchanged when there is no room.
    fn push<T: Copy>(&mut self, used: usize, level: i32, kind: i32, value: T) -> usize {
        let size = size_of::<T>() as libc::c_uint;
        // SAFETY: CMSG_SPACE and CMSG_LEN only calculate.
        let (space, len) = unsafe { (libc::CMSG_SPACE(size) as usize, libc::CMSG_LEN(size)) };
        let Some(room) = self.0.get_mut(used..used + space) else {
            return used;
        };
        // SAFETY: `room` has CMSG_SPACE bytes, enough for the header and the value behind it; `used` is a sum of CMSG_SPACEs and the buffer
        // is aligned to 8, so the header is aligned.
        unsafe {
            let header = room.as_mut_ptr().cast::<libc::cmsghdr>();
            (*header).cmsg_len = len as _;
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            libc::CMSG_DATA(header).cast::<T>().write_unaligned(value);
        }
        used + space
    }
}

/// Received datagrams, until the next `receive`.
#[derive(Debug)]
pub struct Batch {
    bytes: Box<[u8]>,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
    received: Vec<Received>,
    truncated: usize,
}

#[derive(Clone, Copy, Debug)]
struct Received {
    slot: usize,
    len: usize,
    from: SocketAddr,
    to: SocketAddr,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            bytes: vec![0; BATCH * DATAGRAM].into_boxed_slice(),
            // SAFETY: a socket address is made of integers; all zeros is AF_UNSPEC.
            names: vec![unsafe { std::mem::zeroed() }; BATCH],
            controls: vec![Control([0; CONTROL]); BATCH],
            received: Vec::with_capacity(BATCH),
            truncated: 0,
        }
    }
}

impl Batch {
    /// How many datagrams there are.
    pub fn len(&self) -> usize {
        self.received.len()
    }

    /// None?
    pub fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    /// How many datagrams of this batch were longer than [`DATAGRAM`]; they were dropped.
    pub fn truncated(&self) -> usize {
        self.truncated
    }

    /// The datagrams, in the order of arrival. Addresses are never IPv4-mapped.
    pub fn datagrams(&mut self) -> impl Iterator<Item = Datagram<'_>> {
        let mut slots = self.bytes.chunks_exact_mut(DATAGRAM).enumerate();
        self.received.iter().filter_map(move |received| {
            let (_, bytes) = slots.find(|(slot, _)| *slot == received.slot)?;
            Some(Datagram {
                from: received.from,
                to: received.to,
                via: Via::Udp,
                bytes: bytes.get_mut(..received.len)?,
            })
        })
    }
}

/// The sender's address as the kernel wrote it.
fn peer_of(name: &libc::sockaddr_storage, len: libc::socklen_t) -> Option<SocketAddr> {
    // SAFETY: the kernel wrote `len` bytes of a socket address there, and the rest is initialised.
    let address = unsafe { SockAddr::new(std::mem::transmute_copy(name), len) }.as_socket()?;
    Some(match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(IpAddr::V4(ip), address.port()),
        // As it is, because a link-local address needs its scope.
        IpAddr::V6(_) => address,
    })
}

/// Our address that the datagram was sent to, out of its PKTINFO.
fn destination(header: &libc::msghdr) -> Option<IpAddr> {
    // SAFETY: after recvmmsg, msg_control and msg_controllen describe control messages that the kernel wrote.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !at.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR return null or a whole header inside the buffer.
        let message = unsafe { &*at };
        match (message.cmsg_level, message.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // SAFETY: the kernel puts an in_pktinfo behind a header of this type.
                let info = unsafe { libc::CMSG_DATA(at).cast::<libc::in_pktinfo>().read_unaligned() };
                return Some(IpAddr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()));
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                // SAFETY: the kernel puts an in6_pktinfo behind a header of this type.
                let info = unsafe { libc::CMSG_DATA(at).cast::<libc::in6_pktinfo>().read_unaligned() };
                return Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).to_canonical());
            }
            _ => {}
        }
        // SAFETY: `at` is a header of this message.
        at = unsafe { libc::CMSG_NXTHDR(header, at) };
    }
    None
}

/// An address as a dual-stack socket spells it.
fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

#[cfg(test)]
mod tests;
