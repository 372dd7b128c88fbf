//! Journals: balanced, immutable sets of postings. What was wrong is reversed, never changed.

use core_types::{Money, MoneyError};

use crate::ledger::Usage;

/// One leg of a journal: debits are positive, credits negative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    /// Which account, such as `tenant:acme:usage:marketing` or `waba:1029:payable`.
    pub account: String,
    /// How much; never zero.
    pub amount: Money,
}

/// A balanced set of postings for one billable event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    id: String,
    postings: Vec<Posting>,
    reverses: Option<String>,
}

/// Why postings are not a journal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Fewer than two legs.
    #[error("a journal needs two postings or more")]
    Legs,
    /// A leg of nothing.
    #[error("the posting to `{0}` is zero")]
    Zero(String),
    /// The legs do not cancel out.
    #[error("the postings sum to {0}, not to zero")]
    Unbalanced(Money),
    /// Two currencies, or too much.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

impl Journal {
    /// Checks and makes a journal.
    ///
    /// # Errors
    /// When there are fewer than two legs, a leg is zero, currencies differ or the sum is not zero.
    pub fn new(id: impl Into<String>, postings: Vec<Posting>) -> Result<Self, JournalError> {
        let [first, _, ..] = postings.as_slice() else {
            return Err(JournalError::Legs);
        };
        let mut sum = Money::zero(first.amount.currency);
        for posting in &postings {
            if posting.amount.micros == 0 {
                return Err(JournalError::Zero(posting.account.clone()));
            }
            sum = sum.plus(posting.amount)?;
        }
        if sum.micros != 0 {
            return Err(JournalError::Unbalanced(sum));
        }
        Ok(Self {
            id: id.into(),
            postings,
            reverses: None,
        })
    }

    /// The journal of a rated message: the tenant's usage of the category against what is owed to
    /// Meta for the account. `None` when it costs nothing: postings of zero say nothing.
    pub fn of(usage: &Usage) -> Option<Self> {
        let amount = usage.rating.amount;
        let postings = vec![
            Posting {
                account: format!("tenant:{}:usage:{}", usage.tenant, usage.rating.category),
                amount,
            },
            Posting {
                account: format!("waba:{}:payable", usage.waba),
                amount: amount.negated(),
            },
        ];
        Self::new(usage.journal_id(), postings).ok()
    }

    /// The journal that takes this one back.
    pub fn reversal(&self) -> Self {
        let negate = |posting: &Posting| Posting {
            account: posting.account.clone(),
            amount: posting.amount.negated(),
        };
        Self {
            id: format!("{}:reversal", self.id),
            postings: self.postings.iter().map(negate).collect(),
            reverses: Some(self.id.clone()),
        }
    }

    /// Its id: derived from what it is for, so the same event always has the same.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its legs; they sum to zero.
    pub fn postings(&self) -> &[Posting] {
        &self.postings
    }

    /// The journal this one takes back.
    pub fn reverses(&self) -> Option<&str> {
        self.reverses.as_deref()
    }
}
