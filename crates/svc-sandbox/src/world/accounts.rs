//! Accounts, numbers and the customers who write to them.

use core_types::ContactIdentity;
use lib_platform::Refusal;

use super::{Document, World};
use crate::identity;
use crate::state::{Account, Customer, Number, Thread, ThreadKey};

/// An account to create, with its number.
#[derive(Clone, Debug)]
pub(crate) struct NewAccount {
    pub(crate) account: Account,
    pub(crate) number: String,
    pub(crate) phone: String,
    pub(crate) verified_name: String,
}

impl World {
    /// Creates what is not there and takes over what is told anew. Returns whether the callback
    /// has to be verified.
    pub(crate) fn create_account(&mut self, new: NewAccount) -> Result<bool, Refusal> {
        let elsewhere = self.numbers.get(&new.number);
        if elsewhere.is_some_and(|number| number.account != new.account.id) {
            return Err(Refusal::already_exists("number", &new.number));
        }
        let id = new.account.id.clone();
        let known = self.accounts.get(&id);
        let verified = known
            .is_some_and(|known| known.verified && known.callback_url == new.account.callback_url);
        let account = Account {
            verified,
            ..new.account
        };
        self.accounts.insert(id.clone(), account);
        let known = self.numbers.get(&new.number);
        let number = Number {
            id: new.number.clone(),
            account: id.clone(),
            phone: new.phone,
            verified_name: new.verified_name,
            registered: true,
            allowance_month: known
                .map(|known| known.allowance_month.clone())
                .unwrap_or_default(),
            allowance_used: known.map_or(0, |known| known.allowance_used),
        };
        self.numbers.insert(new.number.clone(), number);
        self.touch(Document::Account(id));
        self.touch(Document::Number(new.number));
        Ok(!verified)
    }

    /// Notes that the callback answered the verification request.
    pub(crate) fn callback_verified(&mut self, account: &str, callback_url: &str) {
        if let Some(known) = self.accounts.get_mut(account)
            && known.callback_url == callback_url
        {
            known.verified = true;
            self.touch(Document::Account(account.to_owned()));
        }
    }

    /// Subscribes the app to the account's webhooks, or ends that.
    pub(crate) fn subscribe(&mut self, account: &str, subscribed: bool) {
        if let Some(known) = self.accounts.get_mut(account) {
            known.subscribed = subscribed;
            self.touch(Document::Account(account.to_owned()));
        }
    }

    /// Registers a number for the Cloud API.
    pub(crate) fn register(&mut self, number: &str) {
        if let Some(known) = self.numbers.get_mut(number) {
            known.registered = true;
            self.touch(Document::Number(number.to_owned()));
        }
    }

    /// Accounts whose callback has not answered the verification request.
    pub(crate) fn unverified(&self) -> Vec<Account> {
        self.accounts
            .values()
            .filter(|account| !account.verified)
            .cloned()
            .collect()
    }

    /// An account.
    pub(crate) fn account(&self, id: &str) -> Option<&Account> {
        self.accounts.get(id)
    }

    /// The first account, in order of id: the one an operation means that names none.
    pub(crate) fn any_account(&self) -> Option<&Account> {
        self.accounts.values().next()
    }

    /// A number.
    pub(crate) fn number(&self, id: &str) -> Option<&Number> {
        self.numbers.get(id)
    }

    /// The numbers of an account, in order of id.
    pub(crate) fn numbers_of(&self, account: &str) -> Vec<Number> {
        self.numbers
            .values()
            .filter(|number| number.account == account)
            .cloned()
            .collect()
    }

    /// The customer with this identity, created when new. What the identity says besides (name,
    /// user name) is taken over.
    pub(crate) fn customer(&mut self, identity: &ContactIdentity) -> Result<u64, Refusal> {
        let phone = match &identity.phone {
            Some(phone) => {
                ContactIdentity::from_phone(phone)
                    .map_err(|error| Refusal::invalid("customer.phone", error.to_string()))?
                    .phone
            }
            None => None,
        };
        let found = self
            .known_customer(phone.as_deref(), identity.user_id.as_deref())
            .and_then(|id| self.customers.get(&id))
            .cloned();
        let mut customer = match (&found, phone, &identity.user_id) {
            (Some(found), ..) => found.clone(),
            (None, None, None) => {
                return Err(Refusal::invalid(
                    "customer",
                    "needs a phone number or a user id",
                ));
            }
            (None, phone, user_id) => {
                let derived = phone.as_deref().map(identity::user_id).unwrap_or_default();
                self.counters.customers += 1;
                self.touch(Document::Counters);
                Customer {
                    id: self.counters.customers,
                    user_id: user_id.clone().unwrap_or(derived),
                    phone,
                    parent_user_id: None,
                    username: None,
                    name: None,
                    hidden: false,
                }
            }
        };
        let take = |mine: &mut Option<String>, theirs: &Option<String>| {
            if theirs.is_some() {
                mine.clone_from(theirs);
            }
        };
        take(&mut customer.name, &identity.display_name);
        take(&mut customer.username, &identity.username);
        take(&mut customer.parent_user_id, &identity.parent_user_id);
        let id = customer.id;
        if found.as_ref() != Some(&customer) {
            self.keep_customer(customer);
        }
        Ok(id)
    }

    /// The customer with this phone number or user id, if there is one.
    pub(super) fn known_customer(&self, phone: Option<&str>, user_id: Option<&str>) -> Option<u64> {
        phone
            .and_then(|phone| self.by_phone.get(phone))
            .or_else(|| user_id.and_then(|id| self.by_user_id.get(id)))
            .copied()
    }

    pub(super) fn keep_customer(&mut self, customer: Customer) {
        self.index(&customer);
        self.touch(Document::Customer(customer.id));
        self.customers.insert(customer.id, customer);
    }

    /// The thread of a customer and a number, created when new.
    pub(super) fn thread(&mut self, key: &ThreadKey) -> &mut Thread {
        self.dirty.insert(Document::Thread(key.clone()));
        self.threads.entry(key.clone()).or_insert_with(|| Thread {
            key: key.clone(),
            last_inbound: None,
            entry_candidate_until: None,
            free_entry: None,
            conversations: Vec::new(),
        })
    }
}
