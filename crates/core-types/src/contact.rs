//! Who a customer is. A contact is a *set* of identities: since 2026 a customer with a username
//! may have no visible phone number (`docs/decisions/0001-foundations.md`).

use serde::{Deserialize, Serialize};

/// What is known of a customer's identity in one message. At least one of the first two is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactIdentity {
    /// Business-scoped user id: ISO country, a dot, letters and digits (`US.13491208655302741918`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Phone number as digits in international form, without `+` (Meta's `wa_id`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// Business-scoped id of the linked portfolio, where portfolios are linked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_user_id: Option<String>,
    /// The public user name, without `@`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The name the customer shows to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

/// One identity a conversation can be found by. A contact may have several.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContactKey {
    /// Business-scoped user id.
    UserId(String),
    /// Phone number, digits only.
    Phone(String),
}

/// An identity that names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Neither a business-scoped user id nor a phone number.
    #[error("the contact has neither a user id nor a phone number")]
    Nobody,
    /// The phone number is not 5 to 20 digits.
    #[error("`{0}` is not a phone number of 5 to 20 digits in international form")]
    BadPhone(String),
}

impl ContactIdentity {
    /// A contact known by phone number only. A leading `+`, spaces and dashes are dropped.
    ///
    /// # Errors
    /// When what is left is not 5 to 20 digits.
    pub fn from_phone(text: &str) -> Result<Self, IdentityError> {
        let digits: String = text
            .chars()
            .filter(|c| !matches!(c, '+' | ' ' | '-' | '(' | ')'))
            .collect();
        if !(5..=20).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(IdentityError::BadPhone(text.to_owned()));
        }
        Ok(Self {
            phone: Some(digits),
            ..Self::default()
        })
    }

    /// Every key this contact can be found by, the business-scoped user id first: it outlives a
    /// change of what Meta lets us see.
    ///
    /// # Errors
    /// When there is none.
    pub fn keys(&self) -> Result<Vec<ContactKey>, IdentityError> {
        let keys: Vec<ContactKey> = self
            .user_id
            .iter()
            .map(|id| ContactKey::UserId(id.clone()))
            .chain(
                self.phone
                    .iter()
                    .map(|phone| ContactKey::Phone(phone.clone())),
            )
            .collect();
        if keys.is_empty() {
            Err(IdentityError::Nobody)
        } else {
            Ok(keys)
        }
    }

    /// Takes over what `newer` knows and this does not, or knows differently.
    pub fn absorb(&mut self, newer: &Self) {
        let take = |mine: &mut Option<String>, theirs: &Option<String>| {
            if theirs.is_some() {
                mine.clone_from(theirs);
            }
        };
        take(&mut self.user_id, &newer.user_id);
        take(&mut self.phone, &newer.phone);
        take(&mut self.parent_user_id, &newer.parent_user_id);
        take(&mut self.username, &newer.username);
        take(&mut self.display_name, &newer.display_name);
    }

    /// A short text people recognise the contact by: name, else user name, else the last four
    /// digits, else the user id. Safe for screens, not for logs.
    pub fn label(&self) -> String {
        if let Some(name) = self.display_name.as_ref().or(self.username.as_ref()) {
            return name.clone();
        }
        match (&self.phone, &self.user_id) {
            (Some(phone), _) => {
                let tail: String = phone
                    .chars()
                    .skip(phone.chars().count().saturating_sub(4))
                    .collect();
                format!("…{tail}")
            }
            (None, Some(id)) => id.clone(),
            (None, None) => "unknown".to_owned(),
        }
    }
}

impl ContactKey {
    /// The key as one text, for indexes: `u:US.1349…` or `p:1650…`.
    pub fn to_text(&self) -> String {
        match self {
            Self::UserId(id) => format!("u:{id}"),
            Self::Phone(phone) => format!("p:{phone}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_needs_one_identity_but_not_a_phone() {
        assert_eq!(
            ContactIdentity::default().keys(),
            Err(IdentityError::Nobody)
        );
        let hidden = ContactIdentity {
            user_id: Some("US.1".into()),
            ..Default::default()
        };
        assert_eq!(hidden.keys().unwrap(), [ContactKey::UserId("US.1".into())]);
        let plain = ContactIdentity::from_phone("+1 (650) 555-1234").unwrap();
        assert_eq!(plain.keys().unwrap()[0].to_text(), "p:16505551234");
        assert!(ContactIdentity::from_phone("+1650555O234").is_err());
        assert_eq!(plain.label(), "…1234");
    }
}
