//! The address of Redis: `redis://` one server, `redis+cluster://` some servers of a Cluster.

use redis::{ConnectionInfo, IntoConnectionInfo as _};

use super::error::RedisError;

/// Where Redis is.
#[derive(Debug)]
pub(super) struct Address {
    /// Where to ask first: the one server, or any of a Cluster.
    pub(super) seeds: Vec<ConnectionInfo>,
    pub(super) cluster: bool,
}

impl Address {
    /// Problems never quote the address: it may hold a password.
    pub(super) fn parse(url: &str) -> Result<Self, RedisError> {
        let problem = |problem: &str| RedisError::Address {
            problem: problem.to_owned(),
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| {
            problem("it does not begin with redis://, rediss:// or redis+cluster://")
        })?;
        let (one, cluster) = match scheme {
            "redis" | "rediss" | "redis+unix" | "unix" => (scheme, false),
            "redis+cluster" => ("redis", true),
            "rediss+cluster" => ("rediss", true),
            _ => {
                return Err(problem(
                    "its scheme is not one of redis, rediss, redis+cluster",
                ));
            }
        };
        let (access, rest) = rest
            .rsplit_once('@')
            .map_or(("", rest), |(access, rest)| (access, rest));
        let at = if access.is_empty() { "" } else { "@" };
        let (hosts, tail) = rest
            .find('/')
            .filter(|_| !scheme.ends_with("unix"))
            .map_or((rest, ""), |slash| rest.split_at(slash));
        if cluster && !matches!(tail, "" | "/" | "/0") {
            return Err(problem("a Cluster has no numbered databases"));
        }
        if !cluster && hosts.contains(',') {
            return Err(problem("several servers need redis+cluster://"));
        }
        let seeds: Result<Vec<_>, RedisError> = hosts
            .split(',')
            .map(|host| {
                if host.is_empty() {
                    return Err(problem("the host is missing"));
                }
                let url = format!("{one}://{access}{at}{host}{tail}");
                let info = url.as_str().into_connection_info();
                info.map_err(|_| {
                    problem("host, port, password or the number of the database cannot be read")
                })
            })
            .collect();
        Ok(Self {
            seeds: seeds?,
            cluster,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn one_server_or_the_servers_of_a_cluster() {
        let one = Address::parse("redis://:secret@localhost:6380/2").unwrap();
        assert_eq!((one.seeds.len(), one.cluster), (1, false));
        assert_eq!(one.seeds[0].addr().to_string(), "localhost:6380");
        let many = Address::parse("redis+cluster://user:secret@a:1,b:2,c").unwrap();
        let hosts: Vec<String> = many
            .seeds
            .iter()
            .map(|seed| seed.addr().to_string())
            .collect();
        assert_eq!(hosts, ["a:1", "b:2", "c:6379"]);
        assert!(many.cluster);
        assert_eq!(many.seeds[2].redis_settings().password(), Some("secret"));
        assert!(Address::parse("rediss://localhost").is_ok());
        assert!(Address::parse("unix:///tmp/socket").is_ok());
    }

    #[test]
    fn a_wrong_address_is_named_and_not_quoted() {
        for url in [
            "localhost:6379",
            "http://secret",
            "redis://",
            "redis://:secret@",
            "redis://a,b",
            "redis+cluster://secret/3",
            "redis://localhost:port-secret",
        ] {
            let told = Address::parse(url).unwrap_err().to_string();
            assert!(told.contains("redis.url"), "{told}");
            assert!(!told.contains("secret"), "{told}");
        }
    }
}
