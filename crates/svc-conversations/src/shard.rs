//! A share of the log or the outbox, for followers that split the work among them.

use lib_platform::Refusal;
use lib_platform::partition::part_of;
use lib_proto::conversations as pb;
use pb::shard::Kind;

/// Most shards: more than any follower has replicas for.
const MOST: u32 = 4_096;

/// A share; the default is everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shard(Option<(Kind, u16, u16)>);

impl Shard {
    /// What a request asks for.
    ///
    /// # Errors
    /// When there is no such shard.
    pub(crate) fn of(wanted: Option<pb::Shard>) -> Result<Self, Refusal> {
        let Some(shard) = wanted else {
            return Ok(Self::default());
        };
        let kind = match shard.kind() {
            Kind::Unspecified => {
                return Err(Refusal::invalid("shard.kind", "must be TENANT or NUMBER"));
            }
            kind => kind,
        };
        if shard.count == 0 || shard.count > MOST {
            let problem = format!("must be 1 to {MOST}");
            return Err(Refusal::invalid("shard.count", problem));
        }
        if shard.index >= shard.count {
            return Err(Refusal::invalid(
                "shard.index",
                "must be less than shard.count",
            ));
        }
        Ok(Self(Some((kind, shard.count as u16, shard.index as u16))))
    }

    /// Whether something of this tenant, number and account is in it.
    pub(crate) fn takes(self, tenant: &str, number: &str, waba: &str) -> bool {
        self.0.is_none_or(|(kind, count, index)| {
            let key = match kind {
                Kind::Number if number.is_empty() => waba,
                Kind::Number => number,
                Kind::Tenant | Kind::Unspecified => tenant,
            };
            part_of(key, count) == index
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_is_in_one_shard() {
        let shard = |index| {
            Shard::of(Some(pb::Shard {
                kind: Kind::Number.into(),
                count: 3,
                index,
            }))
        };
        let shards: Vec<Shard> = (0..3).map(|index| shard(index).unwrap()).collect();
        for (number, waba) in [
            ("n1", "w1"),
            ("", "w1"),
            ("n2", ""),
            ("106540352242922", "w"),
        ] {
            let takers = shards.iter().filter(|it| it.takes("acme", number, waba));
            assert_eq!(takers.count(), 1);
        }
        assert!(shard(3).is_err());
        assert!(Shard::default().takes("", "", ""));
    }
}
