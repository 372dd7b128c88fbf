//! A role's addresses. They are taken at once, so that a taken one ends the process before anything
//! has started; gRPC and HTTP answer only when the service stands, so that callers are refused in
//! no time rather than kept waiting.

use std::net::SocketAddr;

use lib_platform::config::Settings;
use tokio::net::{TcpListener, TcpSocket, lookup_host};

use crate::exit::Exit;
use crate::role::Role;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1_024;

/// Addresses that are ours.
pub(super) struct Sockets {
    admin: TcpListener,
    grpc: Taken,
    http: Option<Taken>,
}

impl Sockets {
    /// Takes them.
    ///
    /// # Errors
    /// [`UNAVAILABLE`](crate::exit::UNAVAILABLE) when one is taken or not on this machine.
    pub(super) async fn take(role: Role, settings: &Settings) -> anyhow::Result<Self> {
        let admin = Taken::take(settings, "admin.listen").await?;
        let grpc = Taken::take(settings, "grpc.listen").await?;
        let http = if role.has_http() {
            Some(Taken::take(settings, "http.listen").await?)
        } else {
            None
        };
        let admin = admin.listen()?;
        Ok(Self { admin, grpc, http })
    }

    /// The listener for operators, and the addresses not yet open.
    pub(super) fn split(self) -> (TcpListener, Taken, Option<Taken>) {
        (self.admin, self.grpc, self.http)
    }
}

/// An address that is ours but does not answer yet.
pub(super) struct Taken {
    socket: TcpSocket,
    key: &'static str,
    address: String,
}

impl Taken {
    async fn take(settings: &Settings, key: &'static str) -> anyhow::Result<Self> {
        let address = settings.text(key)?.to_owned();
        let found = lookup_host(&address).await.map(Vec::from_iter);
        let found = found.map_err(|error| refused(key, &address, &error))?;
        let mut last = std::io::Error::other("the name has no address");
        for at in found {
            match socket(at) {
                Ok(socket) => {
                    return Ok(Self {
                        socket,
                        key,
                        address,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(refused(key, &address, &last))
    }

    /// Lets callers in.
    ///
    /// # Errors
    /// When another process was quicker.
    pub(super) fn listen(self) -> anyhow::Result<TcpListener> {
        let Self {
            socket,
            key,
            address,
        } = self;
        socket
            .listen(BACKLOG)
            .map_err(|error| refused(key, &address, &error))
    }
}

fn socket(at: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if at.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    Ok(socket)
}

fn refused(key: &str, address: &str, error: &std::io::Error) -> anyhow::Error {
    let env = format!("FRONTDESK_{}", key.replace('.', "_").to_ascii_uppercase());
    Exit::unavailable(format!(
        "cannot listen on {address}: {error}\n  {key} ({env}): stop the other process, or choose \
         another address. Nothing was started."
    ))
}
