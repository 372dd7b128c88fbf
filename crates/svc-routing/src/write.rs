//! Changes of what a hub keeps: it gathers them and stores them together.

use core_types::{AgentId, OfferId, TenantId};

use crate::seat::Done;
use crate::store::OfferRow;

/// The only log followed.
pub(crate) const FOLLOWER: &str = "conversations";

/// Which of the three tables of state rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Queue,
    Agent,
    Engagement,
}

/// One change of what is stored.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    /// A state row; `None` deletes it.
    State {
        table: Table,
        tenant: TenantId,
        id: String,
        state: Option<String>,
    },
    /// An offer was made.
    Offer {
        number: i64,
        tenant: TenantId,
        row: Box<OfferRow>,
    },
    /// An offer ended.
    OfferEnded {
        tenant: TenantId,
        id: OfferId,
        outcome: &'static str,
        because: String,
    },
    /// A report for the conversation log, as protobuf.
    Outgoing {
        number: i64,
        tenant: TenantId,
        record: Vec<u8>,
    },
    /// The log has answered all reports up to this one.
    OutgoingDone(i64),
    /// Sequence numbers were set aside.
    Reserved {
        tenant: TenantId,
        agent: AgentId,
        up_to: u64,
    },
    /// A command was carried out or refused.
    Command {
        tenant: TenantId,
        agent: AgentId,
        number: i64,
        done: Done,
    },
    /// Everything up to here has been read.
    Cursor(String),
}

impl Write {
    /// Whether it is kept in SQL also where the live state is elsewhere.
    pub(crate) fn is_record(&self) -> bool {
        match self {
            Self::State { table, .. } => matches!(table, Table::Queue),
            Self::Offer { .. } | Self::OfferEnded { .. } => true,
            _ => false,
        }
    }

    /// Whether it ends an offer, for the place in the code where tests of survival strike.
    #[cfg(debug_assertions)]
    pub(crate) fn ends_an_offer(&self) -> bool {
        matches!(self, Self::OfferEnded { .. })
    }
}
