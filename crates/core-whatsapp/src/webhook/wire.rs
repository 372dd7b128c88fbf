//! Meta's JSON as borrowed structures. Every part is optional here: what must be there is decided
//! where it is used, so the problem can name it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::value::RawValue;

use super::problem::ItemProblem;

/// A text, or a number or truth value taken as text: Meta sends timestamps, ids and amounts either
/// way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word<'a>(pub(super) Cow<'a, str>);

impl Word<'_> {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'a> Word<'a> {
    /// The word in `raw`, digit for digit; `None` for null, lists and objects.
    pub(super) fn from_raw(raw: &'a RawValue) -> Option<Self> {
        let text = raw.get();
        match text.as_bytes().first()? {
            b'"' => serde_json::from_str(text).ok(),
            b'n' | b'[' | b'{' => None,
            _ => Some(Self(Cow::Borrowed(text))),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Word<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordVisitor)
    }
}

struct WordVisitor;

impl<'de> Visitor<'de> for WordVisitor {
    type Value = Word<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Word<'de>, E> {
        Ok(Word(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Word<'de>, E> {
        Ok(Word(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Word<'de>, E> {
        Ok(Word(Cow::Owned(number.to_string())))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Word<'de>, E> {
        Ok(Word(Cow::Owned(number.to_string())))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Word<'de>, E> {
        Ok(Word(Cow::Owned(number.to_string())))
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Word<'de>, E> {
        Ok(Word(Cow::Borrowed(if truth { "true" } else { "false" })))
    }
}

/// Reads a structure from an object. serde would take a list for one, field by field.
pub(super) fn object<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, ItemProblem> {
    if raw.get().starts_with('{') {
        Ok(serde_json::from_str(raw.get())?)
    } else {
        Err(ItemProblem::shape("is not an object"))
    }
}

/// The non-empty text of an optional word.
pub(super) fn text(word: Option<Word<'_>>) -> Option<String> {
    word.map(|word| word.0.into_owned())
        .filter(|text| !text.is_empty())
}

macro_rules! wire {
    ($($(#[$doc:meta])* $name:ident { $($field:ident $(= $word:literal)? : $kind:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Default, serde::Deserialize)]
            pub(super) struct $name<'a> {
                $(
                    #[serde(borrow $(, rename = $word)?)]
                    pub(super) $field: Option<$kind>,
                )*
            }
        )*
    };
}

wire! {
    /// `value` of the fields that hold lists.
    Value {
        metadata: &'a RawValue,
        contacts: Vec<&'a RawValue>,
        messages: Vec<&'a RawValue>,
        statuses: Vec<&'a RawValue>,
        errors: Vec<&'a RawValue>,
        message_echoes: Vec<&'a RawValue>,
        user_preferences: Vec<&'a RawValue>,
        state_sync: Vec<&'a RawValue>,
        calls: Vec<&'a RawValue>,
        groups: Vec<&'a RawValue>,
        automatic_events: Vec<&'a RawValue>,
    }
    /// The part of any `value` that tells the number.
    Head {
        metadata: &'a RawValue,
    }
    Metadata {
        phone_number_id: Word<'a>,
    }
    Contact {
        profile: Profile<'a>,
        wa_id: Word<'a>,
        user_id: Word<'a>,
        parent_user_id: Word<'a>,
    }
    Profile {
        name: Word<'a>,
        username: Word<'a>,
    }
    /// A message, in any direction.
    Message {
        id: Word<'a>,
        from: Word<'a>,
        from_user_id: Word<'a>,
        from_parent_user_id: Word<'a>,
        to: Word<'a>,
        to_user_id: Word<'a>,
        recipient_user_id: Word<'a>,
        group_id: Word<'a>,
        timestamp: Word<'a>,
        kind = "type": Word<'a>,
        context: Context<'a>,
        referral: &'a RawValue,
        errors: Vec<PlatformError<'a>>,
        origin: Word<'a>,
        text: Text<'a>,
        image: Media<'a>,
        video: Media<'a>,
        audio: Media<'a>,
        voice: Media<'a>,
        document: Media<'a>,
        sticker: Media<'a>,
        location: Location<'a>,
        contacts: Vec<&'a RawValue>,
        interactive: &'a RawValue,
        button: Button<'a>,
        reaction: Reaction<'a>,
        order: Order<'a>,
        system: System<'a>,
        identity: Identity<'a>,
        edit: Edit<'a>,
        revoke: Revoke<'a>,
        unsupported: Unsupported<'a>,
    }
    Context {
        id: Word<'a>,
        from: Word<'a>,
        forwarded: Word<'a>,
        frequently_forwarded: Word<'a>,
        referred_product: Product<'a>,
    }
    Product {
        catalog_id: Word<'a>,
        product_retailer_id: Word<'a>,
    }
    Referral {
        source_type: Word<'a>,
        source_id: Word<'a>,
        source_url: Word<'a>,
        headline: Word<'a>,
        body: Word<'a>,
        ctwa_clid: Word<'a>,
    }
    PlatformError {
        code: Word<'a>,
        title: Word<'a>,
        message: Word<'a>,
        error_data: ErrorData<'a>,
    }
    ErrorData {
        details: Word<'a>,
    }
    Text {
        body: Word<'a>,
    }
    Media {
        id: Word<'a>,
        url: Word<'a>,
        link: Word<'a>,
        mime_type: Word<'a>,
        sha256: Word<'a>,
        caption: Word<'a>,
        filename: Word<'a>,
        voice: Word<'a>,
        animated: Word<'a>,
    }
    Location {
        latitude: Word<'a>,
        longitude: Word<'a>,
        name: Word<'a>,
        address: Word<'a>,
        url: Word<'a>,
    }
    Card {
        name: CardName<'a>,
        phones: Vec<CardPhone<'a>>,
        emails: Vec<CardEmail<'a>>,
    }
    CardName {
        formatted = "formatted_name": Word<'a>,
        first = "first_name": Word<'a>,
        last = "last_name": Word<'a>,
    }
    CardPhone {
        phone: Word<'a>,
        wa_id: Word<'a>,
    }
    CardEmail {
        email: Word<'a>,
    }
    Interactive {
        kind = "type": Word<'a>,
        button_reply: Choice<'a>,
        list_reply: Choice<'a>,
        nfm_reply: Form<'a>,
        call_permission_reply: CallPermission<'a>,
    }
    Choice {
        id: Word<'a>,
        title: Word<'a>,
    }
    Form {
        response_json: &'a RawValue,
    }
    CallPermission {
        response: Word<'a>,
    }
    Button {
        payload: Word<'a>,
        text: Word<'a>,
    }
    Reaction {
        message_id: Word<'a>,
        emoji: Word<'a>,
    }
    Order {
        catalog_id: Word<'a>,
        text: Word<'a>,
        product_items: Vec<OrderItem<'a>>,
    }
    OrderItem {
        product_retailer_id: &'a RawValue,
        quantity: &'a RawValue,
        item_price: &'a RawValue,
        currency: &'a RawValue,
    }
    System {
        body: Word<'a>,
        kind = "type": Word<'a>,
        wa_id: Word<'a>,
        new_wa_id: Word<'a>,
        user_id: Word<'a>,
        parent_user_id: Word<'a>,
        identity: Word<'a>,
    }
    Identity {
        hash: Word<'a>,
    }
    Edit {
        original_message_id: Word<'a>,
        message: &'a RawValue,
    }
    Revoke {
        original_message_id: Word<'a>,
    }
    Unsupported {
        kind = "type": Word<'a>,
    }
    /// What became of a message, or of a call.
    Status {
        id: Word<'a>,
        state = "status": Word<'a>,
        kind = "type": Word<'a>,
        timestamp: Word<'a>,
        recipient_id: Word<'a>,
        recipient_type: Word<'a>,
        recipient_participant_id: Word<'a>,
        recipient_user_id: Word<'a>,
        parent_recipient_user_id: Word<'a>,
        parent_user_id: Word<'a>,
        biz_opaque_callback_data: Word<'a>,
        conversation: Conversation<'a>,
        pricing: Pricing<'a>,
        errors: Vec<PlatformError<'a>>,
    }
    Conversation {
        id: Word<'a>,
        expiration_timestamp: Word<'a>,
        origin: Origin<'a>,
    }
    Origin {
        kind = "type": Word<'a>,
    }
    Pricing {
        billable: Word<'a>,
        model = "pricing_model": Word<'a>,
        kind = "type": Word<'a>,
        category: Word<'a>,
    }
}
