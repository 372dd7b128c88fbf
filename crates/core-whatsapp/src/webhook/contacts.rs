//! Who an item is about: its own ids, completed from the `contacts` that come with it.

use core_types::ContactIdentity;
use serde_json::value::RawValue;

use super::problem::{Cause, ItemProblem};
use super::wire::{Contact, Word, object, text};

/// The `contacts` of a value.
#[derive(Debug, Default)]
pub(super) struct Contacts<'a> {
    all: Vec<(&'a RawValue, Contact<'a>)>,
}

/// A contact found for an item: as it came, and what it says.
pub(super) type Found<'c, 'a> = Option<&'c (&'a RawValue, Contact<'a>)>;

impl<'a> Contacts<'a> {
    /// Reads them; one that cannot be read names nobody and harms no message.
    pub(super) fn read(raw: Vec<&'a RawValue>) -> Self {
        let contact = |raw: &'a RawValue| (raw, object(raw).unwrap_or_default());
        Self {
            all: raw.into_iter().map(contact).collect(),
        }
    }

    /// The contact with this phone number or user id, else the only one there is: Meta's `wa_id`
    /// and `from` may differ. `near` is the item's own index, where the match usually stands; a
    /// match is never made by index alone.
    pub(super) fn find<'c>(
        &'c self,
        phone: Option<&Word<'_>>,
        user_id: Option<&Word<'_>>,
        near: usize,
    ) -> Found<'c, 'a> {
        if let [only] = self.all.as_slice() {
            return Some(only);
        }
        let same = |(_, contact): &&(&RawValue, Contact<'_>)| {
            (phone.is_some() && contact.wa_id.as_ref() == phone)
                || (user_id.is_some() && contact.user_id.as_ref() == user_id)
        };
        self.all
            .get(near)
            .filter(same)
            .or_else(|| self.all.iter().find(same))
    }
}

/// A phone number as digits; a leading `+` is dropped.
pub(super) fn digits(word: &Word<'_>) -> Option<String> {
    let digits = word.as_str().strip_prefix('+').unwrap_or(word.as_str());
    let plain = (5..=20).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.to_owned())
}

/// Who wrote, or whom it went to: the item's own ids, completed by the contact.
pub(super) fn identity(
    phone: Option<Word<'_>>,
    user_id: Option<Word<'_>>,
    parent_user_id: Option<Word<'_>>,
    found: Found<'_, '_>,
) -> Result<ContactIdentity, ItemProblem> {
    let own = match phone.filter(|phone| !phone.as_str().is_empty()) {
        None => None,
        Some(phone) => Some(digits(&phone).ok_or_else(|| {
            ItemProblem::new(
                Cause::IdentityInvalid,
                "the phone number is not 5 to 20 digits",
            )
        })?),
    };
    let mut identity = completed(own, text(user_id), text(parent_user_id), found);
    if identity.phone.is_none() && identity.user_id.is_none() {
        return Err(ItemProblem::new(
            Cause::IdentityInvalid,
            "neither a phone number nor a user id is given",
        ));
    }
    if identity.user_id.as_ref().is_some_and(|id| id.len() > 256) {
        identity.user_id = None;
    }
    Ok(identity)
}

/// `own` ids, completed by the contact.
pub(super) fn completed(
    phone: Option<String>,
    user_id: Option<String>,
    parent_user_id: Option<String>,
    found: Found<'_, '_>,
) -> ContactIdentity {
    let Some((_, contact)) = found else {
        return ContactIdentity {
            phone,
            user_id,
            parent_user_id,
            ..ContactIdentity::default()
        };
    };
    let profile = contact.profile.as_ref();
    let username = text(profile.and_then(|profile| profile.username.clone()));
    ContactIdentity {
        phone: phone.or_else(|| contact.wa_id.as_ref().and_then(digits)),
        user_id: user_id.or_else(|| text(contact.user_id.clone())),
        parent_user_id: parent_user_id.or_else(|| text(contact.parent_user_id.clone())),
        username: username.map(|name| name.trim_start_matches('@').to_owned()),
        display_name: text(profile.and_then(|profile| profile.name.clone())),
    }
}
