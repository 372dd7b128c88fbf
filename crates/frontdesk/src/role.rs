//! The roles: which services run alone as processes, what each is called, and who calls whom.

mod context;
mod run;
mod services;
mod sockets;

pub(crate) use self::run::run;

/// A role of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Takes Meta's webhooks in.
    Ingress,
    /// Owns the conversation log.
    Conversations,
    /// Takes the steps of flows.
    FlowRunner,
    /// Queues, offers, agents' desks.
    Routing,
    /// Sends to Meta's Graph API.
    Egress,
    /// Keeps the registry of message templates.
    Templates,
    /// Rates what was delivered.
    Billing,
    /// Knows tenants, users, numbers and tokens.
    Accounts,
    /// Stands in for Meta in development.
    Sandbox,
}

impl Role {
    /// All roles.
    pub(crate) const ALL: [Self; 9] = [
        Self::Ingress,
        Self::Conversations,
        Self::FlowRunner,
        Self::Routing,
        Self::Egress,
        Self::Templates,
        Self::Billing,
        Self::Accounts,
        Self::Sandbox,
    ];

    /// Its name: the command, the service and the peer.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Conversations => "conversations",
            Self::FlowRunner => "flow-runner",
            Self::Routing => "routing",
            Self::Egress => "egress",
            Self::Templates => "templates",
            Self::Billing => "billing",
            Self::Accounts => "accounts",
            Self::Sandbox => "sandbox",
        }
    }

    /// The key that says where its service is.
    pub(crate) const fn peer_key(self) -> &'static str {
        match self {
            Self::Ingress => "peers.ingress",
            Self::Conversations => "peers.conversations",
            Self::FlowRunner => "peers.flow_runner",
            Self::Routing => "peers.routing",
            Self::Egress => "peers.egress",
            Self::Templates => "peers.templates",
            Self::Billing => "peers.billing",
            Self::Accounts => "peers.accounts",
            Self::Sandbox => "peers.sandbox",
        }
    }

    /// Where its service is when nothing is said.
    pub(crate) const fn peer_default(self) -> &'static str {
        match self {
            Self::Ingress => "http://ingress:50051",
            Self::Conversations => "http://conversations:50051",
            Self::FlowRunner => "http://flow-runner:50051",
            Self::Routing => "http://routing:50051",
            Self::Egress => "http://egress:50051",
            Self::Templates => "http://templates:50051",
            Self::Billing => "http://billing:50051",
            Self::Accounts => "http://accounts:50051",
            Self::Sandbox => "http://sandbox:50051",
        }
    }

    /// The documentation of its peer key.
    pub(crate) const fn peer_doc(self) -> &'static str {
        match self {
            Self::Conversations | Self::FlowRunner | Self::Templates | Self::Accounts => {
                "Where the service is; a name behind which all its replicas are."
            }
            Self::Routing | Self::Sandbox => "Where the service is; `frontdesk seed` calls it.",
            _ => "Where the service is. No role calls it in this version.",
        }
    }

    /// Roles that call its service. Accounts is asked by all whose a token is.
    pub(crate) const fn callers(self) -> &'static [&'static str] {
        match self {
            Self::Conversations => &["ingress", "routing", "egress", "templates", "billing"],
            Self::FlowRunner => &["conversations", "seed"],
            Self::Templates => &["conversations"],
            Self::Routing | Self::Sandbox => &["seed"],
            Self::Accounts => &[
                "ingress",
                "conversations",
                "flow-runner",
                "routing",
                "egress",
                "templates",
                "billing",
                "sandbox",
                "seed",
            ],
            _ => &[],
        }
    }

    /// Whether it answers HTTP from outside the cluster.
    pub(crate) fn has_http(self) -> bool {
        matches!(self, Self::Ingress | Self::Sandbox)
    }
}
