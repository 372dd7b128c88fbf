//! Every variant survives the way to the wire, through bytes, and back.

use core_types::{
    AccountFact, Button, ContactCard, ContactIdentity, Content, Currency, DeliveryStatus, Echo,
    Fact, FactBody, InboundMessage, Interactive, InteractiveAction, InteractiveHeader, ListRow,
    ListSection, Location, Media, MediaKind, MessageContext, Money, NumberId, OrderItem,
    PlatformError, PricingFact, PricingModel, Referral, Reply, ReplyKind, StatusUpdate,
    SystemNotice, TemplateButtonParameter, TemplateHeaderParameter, TemplateSend, Timestamp,
    WabaId, WhatsAppMessageId,
};
use prost::Message as _;

use super::FieldError;
use crate::common as pb;

fn wamid(text: &str) -> WhatsAppMessageId {
    WhatsAppMessageId::new(text).unwrap()
}

fn text(body: &str) -> Content {
    Content::Text {
        body: body.to_owned(),
        preview_url: false,
    }
}

fn media(kind: MediaKind) -> Media {
    Media {
        kind,
        id: Some("123".into()),
        link: None,
        mime_type: Some("audio/ogg; codecs=opus".into()),
        sha256: None,
        caption: Some("a caption".into()),
        filename: None,
        voice: true,
        animated: false,
    }
}

fn interactive(header: Option<InteractiveHeader>, action: InteractiveAction) -> Content {
    Content::Interactive(Interactive {
        header,
        body: "choose".into(),
        footer: Some("small".into()),
        action,
    })
}

fn identity() -> ContactIdentity {
    ContactIdentity {
        user_id: Some("US.1".into()),
        phone: Some("16505551234".into()),
        parent_user_id: None,
        username: Some("ann".into()),
        display_name: Some("Ann".into()),
    }
}

fn interactives() -> Vec<Content> {
    let row = ListRow {
        id: "r".into(),
        title: "Row".into(),
        description: Some("more".into()),
    };
    vec![
        interactive(
            Some(InteractiveHeader::Text("top".into())),
            InteractiveAction::Buttons {
                buttons: vec![Button {
                    id: "a".into(),
                    title: "A".into(),
                }],
            },
        ),
        interactive(
            None,
            InteractiveAction::List {
                button: "open".into(),
                sections: vec![ListSection {
                    title: "s".into(),
                    rows: vec![row],
                }],
            },
        ),
        interactive(
            Some(InteractiveHeader::Media(media(MediaKind::Image))),
            InteractiveAction::Link {
                text: "go".into(),
                url: "https://example.com".into(),
            },
        ),
        interactive(None, InteractiveAction::LocationRequest),
    ]
}

fn template(header: Option<TemplateHeaderParameter>) -> Content {
    Content::Template(TemplateSend {
        name: "order".into(),
        language: "en_US".into(),
        header,
        body: vec![(Some("name".into()), "Ann".into()), (None, "7".into())],
        buttons: vec![TemplateButtonParameter {
            index: 2,
            kind: "url".into(),
            value: "x".into(),
        }],
        rendered: "Hello Ann".into(),
        category: "utility".into(),
    })
}

fn contents() -> Vec<Content> {
    let mut all = interactives();
    let kinds = [
        MediaKind::Image,
        MediaKind::Video,
        MediaKind::Audio,
        MediaKind::Document,
        MediaKind::Sticker,
    ];
    all.extend(kinds.map(|kind| Content::Media(media(kind))));
    let replies = [
        ReplyKind::Button,
        ReplyKind::List,
        ReplyKind::TemplateButton,
        ReplyKind::Form,
        ReplyKind::CallPermission,
        ReplyKind::Other,
    ];
    all.extend(replies.map(|kind| {
        Content::Reply(Reply {
            kind,
            id: "x".into(),
            title: "X".into(),
            data: Some("{}".into()),
        })
    }));
    let notices = [
        SystemNotice::NumberChanged {
            text: "changed".into(),
            new_identity: identity(),
        },
        SystemNotice::IdentityChanged {
            text: "new key".into(),
            hash: None,
        },
        SystemNotice::Other {
            word: "w".into(),
            text: "t".into(),
        },
    ];
    all.extend(notices.map(Content::System));
    all.extend(plain_contents());
    all
}

fn plain_contents() -> Vec<Content> {
    vec![
        text("hi"),
        Content::Location(Location {
            latitude: -12.5,
            longitude: 8.25,
            name: Some("Home".into()),
            address: None,
            url: None,
        }),
        Content::Contacts {
            cards: vec![ContactCard {
                name: "Bo".into(),
                phones: vec!["+1".into()],
                emails: vec![],
                raw: "{}".into(),
            }],
            origin: Some("contact_request".into()),
        },
        template(None),
        template(Some(TemplateHeaderParameter::Text(None, "h".into()))),
        template(Some(TemplateHeaderParameter::Media(media(
            MediaKind::Video,
        )))),
        Content::Reaction {
            target: wamid("wamid.1"),
            emoji: None,
        },
        Content::Order {
            catalog_id: "c".into(),
            text: Some("please".into()),
            items: vec![OrderItem {
                product_id: "p".into(),
                quantity: "2".into(),
                price: "1.50".into(),
                currency: "EUR".into(),
            }],
        },
        Content::Edit {
            target: wamid("wamid.1"),
            replacement: Box::new(text("better")),
        },
        Content::Revoke {
            target: wamid("wamid.1"),
        },
        Content::Unsupported { kind: "gif".into() },
        Content::Unknown {
            kind: "hologram".into(),
            raw: "{}".into(),
        },
    ]
}

fn fact(body: FactBody) -> Fact {
    Fact {
        waba_id: WabaId::new("102290129340398").unwrap(),
        number_id: Some(NumberId::new("106540352242922").unwrap()),
        dedupe_key: "m:wamid.1".into(),
        body,
    }
}

fn statuses(at: Timestamp, errors: &[PlatformError]) -> [Fact; 5] {
    [
        DeliveryStatus::Sent,
        DeliveryStatus::Delivered,
        DeliveryStatus::Read,
        DeliveryStatus::Played,
        DeliveryStatus::Failed,
    ]
    .map(|status| {
        fact(FactBody::Status(Box::new(StatusUpdate {
            id: wamid("wamid.1"),
            status,
            occurred_at: at,
            recipient: identity(),
            participant: Some("p".into()),
            callback_data: Some("v1.m".into()),
            pricing: Some(PricingFact {
                model: Some(PricingModel::PerMessage),
                kind: Some("regular".into()),
                category: Some("utility".into()),
                billable: Some(false),
            }),
            billing_conversation: Some("b".into()),
            billing_conversation_expires: Some(at),
            billing_conversation_origin: Some("service".into()),
            errors: errors.to_vec(),
        })))
    })
}

fn facts() -> Vec<Fact> {
    let at = Timestamp::from_micros(1_739_321_024_000_123);
    let errors = vec![PlatformError {
        code: 131_051,
        title: "Unsupported".into(),
        details: "poll".into(),
    }];
    let messages = contents().into_iter().map(|content| {
        fact(FactBody::Message(Box::new(InboundMessage {
            id: wamid("wamid.1"),
            from: identity(),
            sent_at: at,
            content,
            context: Some(MessageContext {
                message_id: Some(wamid("wamid.0")),
                from: Some("1555".into()),
                forwarded: true,
                frequently_forwarded: false,
                product: Some(("c".into(), "p".into())),
            }),
            referral: Some(Referral {
                source_type: "ad".into(),
                source_id: "1".into(),
                source_url: "https://fb.me/1".into(),
                click_id: Some("x".into()),
                raw: "{}".into(),
                ..Referral::default()
            }),
            group_id: Some("g".into()),
            errors: errors.clone(),
        })))
    });
    let others = [
        fact(FactBody::Echo(Box::new(Echo {
            id: wamid("wamid.2"),
            to: identity(),
            sent_at: at,
            content: text("from the app"),
        }))),
        fact(FactBody::Account(AccountFact {
            field: "account_update".into(),
            event: "PARTNER_ADDED".into(),
            known: true,
            occurred_at: Some(at),
            attributes: [("waba_id".to_owned(), "1".to_owned())].into(),
            raw: "{}".into(),
        })),
    ];
    messages
        .chain(statuses(at, &errors))
        .chain(others)
        .collect()
}

#[test]
fn every_fact_survives_the_wire() {
    for fact in facts() {
        let bytes = pb::Fact::from(&fact).encode_to_vec();
        let back = Fact::try_from(pb::Fact::decode(bytes.as_slice()).unwrap());
        assert_eq!(back.as_ref(), Ok(&fact));
    }
}

#[test]
fn money_survives_and_names_its_currency() {
    let amount = Money {
        currency: Currency::EUR,
        micros: -5,
    };
    assert_eq!(Money::try_from(pb::Money::from(&amount)), Ok(amount));
    let bad = pb::Money {
        currency_code: "eur".into(),
        micros: 1,
    };
    assert_eq!(Money::try_from(bad).unwrap_err().field, "currency_code");
}

#[test]
fn errors_name_the_path() {
    let good = facts().remove(0);
    let path = |change: &dyn Fn(&mut pb::InboundMessage)| -> String {
        let mut wire = pb::Fact::from(&good);
        if let Some(pb::fact::Body::Message(message)) = &mut wire.body {
            change(message);
        }
        Fact::try_from(wire).unwrap_err().field
    };
    assert_eq!(path(&|message| message.id.clear()), "message.id");
    assert_eq!(path(&|message| message.content = None), "message.content");
    assert_eq!(path(&|message| message.sent_at = None), "message.sent_at");
    let mut reaction = pb::Content::from(&text(""));
    reaction.content = Some(pb::content::Content::Reaction(pb::Reaction::default()));
    assert_eq!(
        path(&|message| message.content = Some(reaction.clone())),
        "message.content.reaction.target"
    );
    let mut template = pb::TemplateSend {
        name: "order".into(),
        language: "en_US".into(),
        ..Default::default()
    };
    template.buttons.push(pb::TemplateButton {
        index: 256,
        ..Default::default()
    });
    assert_eq!(
        TemplateSend::try_from(template).unwrap_err().field,
        "buttons[0].index"
    );
}

#[test]
fn edits_nest_at_most_three_deep() {
    let nest = |depth: usize| {
        (0..depth).fold(text("x"), |inner, _| Content::Edit {
            target: wamid("wamid.1"),
            replacement: Box::new(inner),
        })
    };
    let there_and_back = |content: &Content| -> Result<Content, FieldError> {
        Content::try_from(pb::Content::from(content))
    };
    assert_eq!(there_and_back(&nest(3)), Ok(nest(3)));
    let error = there_and_back(&nest(4)).unwrap_err();
    assert!(error.problem.contains("at most 3"), "{error}");
}
