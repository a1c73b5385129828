//! Small system calls: an eventfd, a poll, an epoll, an option of a socket, messages of a local one, the CPU that a thread runs on.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// An eventfd: readable from `set` until `clear`.
#[derive(Debug)]
pub(crate) struct Wake(File);

impl Wake {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes no pointers; its result is checked before use.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made `fd` for us, and nobody else knows it.
        Ok(Self(File::from(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Make it readable. It fails only at 2^64 − 2 pending wakes, and then it is readable already.
    pub(crate) fn set(&self) {
        let _ = (&self.0).write(&1u64.to_ne_bytes());
    }

    /// Make it unreadable. Nothing to read is no error.
    pub(crate) fn clear(&self) {
        let _ = (&self.0).read(&mut [0; 8]);
    }
}

impl AsRawFd for Wake {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Sleep until one of `fds` is readable or `timeout` is over, and say which are. A signal ends it early. `ppoll`, because its timeout has
/// nanoseconds on every kernel and so few descriptors need no epoll.
pub(crate) fn wait_readable<const N: usize>(fds: [RawFd; N], timeout: Duration) -> [bool; N] {
    let mut polled = fds.map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    let timeout = libc::timespec {
        tv_sec: timeout.as_secs().min(3600) as libc::time_t,
        tv_nsec: timeout.subsec_nanos() as libc::c_long,
    };
    // SAFETY: `polled` is an array of N initialised pollfds that outlives the call, `timeout` is a valid timespec, no signal mask is given.
    unsafe { libc::ppoll(polled.as_mut_ptr(), N as libc::nfds_t, &timeout, std::ptr::null()) };
    polled.map(|one| one.revents != 0)
}

/// An epoll of descriptors that have numbers, level-triggered. It is itself readable while any of them is ready. A descriptor leaves by being
/// closed.
#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

/// A descriptor that is ready, by its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) number: u64,
    /// There is something to read, or the end, or an error.
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

impl Epoll {
    /// Most that are told at a time.
    pub(crate) const BATCH: usize = 64;

    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: epoll_create1 takes no pointers; its result is checked before use.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made `fd` for us, and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Tell when `fd` is readable.
    pub(crate) fn add(&self, fd: RawFd, number: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, number, libc::EPOLLIN)
    }

    /// Tell of a known one whether it is readable and, if `writes`, writable.
    pub(crate) fn watch(&self, fd: RawFd, number: u64, writes: bool) -> io::Result<()> {
        let events = libc::EPOLLIN | if writes { libc::EPOLLOUT } else { 0 };
        self.control(libc::EPOLL_CTL_MOD, fd, number, events)
    }

    /// Tell nothing more of `fd`.
    pub(crate) fn remove(&self, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0)
    }

    fn control(&self, what: i32, fd: RawFd, number: u64, events: i32) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: number,
        };
        // SAFETY: the kernel reads one initialised event during the call; it checks the descriptors itself.
        if unsafe { libc::epoll_ctl(self.0.as_raw_fd(), what, fd, &raw mut event) } == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Replace `ready` with what is ready now, at most `most` and [`Self::BATCH`]; those that were not told come first the next time. Never blocks.
    pub(crate) fn poll(&self, most: usize, ready: &mut Vec<Ready>) {
        ready.clear();
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; Self::BATCH];
        let most = most.clamp(1, Self::BATCH) as i32;
        // SAFETY: the kernel writes at most BATCH events into an array of as many.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), most, 0) };
        let readable = (libc::EPOLLIN | libc::EPOLLHUP | libc::EPOLLERR) as u32;
        for event in events.iter().take(usize::try_from(count).unwrap_or(0)) {
            ready.push(Ready {
                number: event.u64,
                readable: event.events & readable != 0,
                writable: event.events & libc::EPOLLOUT as u32 != 0,
            });
        }
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// setsockopt(2) with a plain value.
pub(crate) fn set_option<T: Copy>(fd: RawFd, level: i32, name: i32, value: T) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which lives until the call returns.
    let result = unsafe {
        libc::setsockopt(
            fd,
            level,
            name,
            (&raw const value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// getsockopt(2) of a number.
fn option_of(fd: RawFd, level: i32, name: i32) -> io::Result<i32> {
    let mut value = 0i32;
    let mut len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the pointer and the length describe `value`, which outlives the call.
    check(unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut len) })?;
    Ok(value)
}

/// The result of a system call, or its error.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Another descriptor of what `fd` is, for this process alone.
pub(crate) fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl takes no pointers here and answers for any number; its result is checked before use.
    let copy = check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) })?;
    // SAFETY: the kernel just made `copy` for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// An AF_UNIX socket of type SOCK_SEQPACKET?
pub(crate) fn is_seqpacket(fd: RawFd) -> bool {
    let is = |name, wanted| option_of(fd, libc::SOL_SOCKET, name).is_ok_and(|value| value == wanted);
    is(libc::SO_DOMAIN, libc::AF_UNIX) && is(libc::SO_TYPE, libc::SOCK_SEQPACKET)
}

/// One message of a socket, its beginning where it is longer than `buffer`. Never blocks, whatever the flags of the socket, which other
/// processes may share.
pub(crate) fn receive_message(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the pointer and the length describe `buffer`, which outlives the call.
    let len = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT) };
    usize::try_from(len).map_err(|_| io::Error::last_os_error())
}

/// Send one message. Never blocks, and raises no signal when nobody is there.
pub(crate) fn send_message(fd: RawFd, message: &[u8]) -> io::Result<()> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the pointer and the length describe `message`, which outlives the call; the kernel only reads it.
    let len = unsafe { libc::send(fd, message.as_ptr().cast(), message.len(), flags) };
    usize::try_from(len).map(|_| ()).map_err(|_| io::Error::last_os_error())
}

/// Will the other end send no more? Tells end-of-file from an empty message.
pub(crate) fn is_hung_up(fd: RawFd) -> bool {
    let mut polled = libc::pollfd {
        fd,
        events: libc::POLLRDHUP,
        revents: 0,
    };
    // SAFETY: one initialised pollfd that outlives the call.
    unsafe { libc::poll(&raw mut polled, 1, 0) == 1 }
}

/// End both directions of a socket for everybody who holds it. It fails only where they have ended.
pub(crate) fn shut_down(fd: RawFd) {
    // SAFETY: no pointers; any number is answered for.
    unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
}

/// How many descriptors the process may have (RLIMIT_NOFILE).
pub(crate) fn descriptors() -> usize {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes one rlimit, which outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return 1024;
    }
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

/// Datagrams that the kernel dropped because the receive buffer of the socket was full (SO_MEMINFO, SK_MEMINFO_DROPS).
pub(crate) fn receive_overflow(fd: RawFd) -> u64 {
    const DROPS: usize = 8;
    let mut info = [0u32; DROPS + 1];
    let mut len = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the pointer and the length describe `info`, which outlives the call.
    let result = unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result == 0 { u64::from(info[DROPS]) } else { 0 }
}

/// Keep the calling thread on one CPU of those that the process may use: shard 0 on the last, because interrupts prefer the first.
/// Best effort: where there are not more CPUs than shards, the scheduler knows better.
pub(crate) fn pin_shard(index: usize, shards: usize) {
    // SAFETY: cpu_set_t is a plain bit mask; all zeros is the empty set.
    let mut allowed: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: 0 names the calling thread; pointer and size describe `allowed`.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut allowed) } != 0 {
        return;
    }
    let cpus: Vec<usize> = (0..libc::CPU_SETSIZE as usize)
        // SAFETY: `cpu` is below CPU_SETSIZE, so the bit is inside the mask.
        .filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &allowed) })
        .collect();
    if cpus.len() <= shards {
        return;
    }
    let Some(&cpu) = cpus.iter().rev().nth(index) else {
        return;
    };
    // SAFETY: as above; `cpu` came out of a mask of the same size.
    unsafe {
        let mut chosen: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut chosen);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const chosen);
    }
}

#[cfg(test)]
pub(crate) fn is_readable(fd: RawFd) -> bool {
    let mut polled = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one initialised pollfd that outlives the call.
    unsafe { libc::poll(&raw mut polled, 1, 0) == 1 }
}
