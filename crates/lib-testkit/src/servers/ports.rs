//! Ports for servers that must find theirs free again after a stop.

use std::fs::{File, TryLockError};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use tokio::net::TcpSocket;

/// The first port given out. Outgoing connections do not get ports below 32,768 on Linux
/// (`net.ipv4.ip_local_port_range`), so they take none of these away while a server is down.
const FIRST: u16 = 20_000;
/// Ports of one claim.
const SIZE: u16 = 600;
/// How many claims there are.
const CLAIMS: u16 = 20;

/// A run of ports that this process alone gives out, as long as it lives: test processes side by
/// side would otherwise take the port of a server that another one is restarting.
struct Claim {
    first: u16,
    given: u16,
    /// Its lock ends with the process.
    _lock: File,
}

static CLAIM: Mutex<Option<Claim>> = Mutex::new(None);

/// A TCP port of this machine that nobody listens on, and that no other process of the test kit
/// is given.
///
/// # Panics
/// When all are taken.
pub fn free_port() -> u16 {
    let mut claim = CLAIM.lock().unwrap_or_else(PoisonError::into_inner);
    let claim = claim.get_or_insert_with(new_claim);
    for _ in 0..SIZE {
        let port = claim.first + claim.given % SIZE;
        claim.given = claim.given.wrapping_add(1) % SIZE;
        if is_free(port) {
            return port;
        }
    }
    panic!("no port of this process' {SIZE} is free");
}

/// Asks by a socket that is bound and does not listen. A child process forked at this moment holds
/// a copy of it until its `exec`: a copy that listens would keep the port from whoever got it.
fn is_free(port: u16) -> bool {
    let socket = TcpSocket::new_v4().expect("a process can open a socket");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    socket.set_reuseaddr(true).is_ok() && socket.bind(address).is_ok()
}

fn new_claim() -> Claim {
    let folder = std::env::temp_dir().join("frontdesk-test-ports");
    std::fs::create_dir_all(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for number in 0..CLAIMS {
        let path = folder.join(number.to_string());
        let file = File::options().create(true).append(true).open(&path);
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        match file.try_lock() {
            Ok(()) => {
                return Claim {
                    first: FIRST + number * SIZE,
                    given: 0,
                    _lock: file,
                };
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => panic!("{}: {error}", path.display()),
        }
    }
    panic!("{CLAIMS} processes of the test kit run already");
}

#[cfg(test)]
mod tests {
    use super::{free_port, is_free};
    use std::net::TcpListener;

    #[test]
    fn a_port_somebody_listens_on_is_not_free() {
        let listener = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(port));
        drop(listener);
    }
}
