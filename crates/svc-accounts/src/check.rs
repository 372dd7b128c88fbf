//! What may be written: every field a caller fills in is checked here, and all that is wrong with
//! a request is said at once.

use core_types::{ContactIdentity, Currency};
use jiff::tz::TimeZone;
use lib_platform::Refusal;
use lib_proto::accounts::{Connector, Number, Plan, Role, Tenant, User};

/// Longest id, in characters.
const ID_CHARS: usize = 64;
/// Longest name or note, in characters.
const NAME_CHARS: usize = 200;
/// Longest Graph API token, in bytes; Meta's have about 200 today.
const TOKEN_BYTES: usize = 4_096;
/// Longest Meta id, in digits; Meta's have 15 to 17 today.
const META_ID_DIGITS: usize = 32;

/// The active codes of ISO 4217 that name money one can be billed in.
const CURRENCIES: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND \
    BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN \
    ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD \
    JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT \
    MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR \
    RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND \
    TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG";

/// Gathers what is wrong with a request.
#[derive(Default)]
struct Problems(Option<Refusal>);

impl Problems {
    fn add(&mut self, field: &str, problem: impl Into<String>) {
        self.0 = Some(match self.0.take() {
            None => Refusal::invalid(field, problem),
            Some(refusal) => refusal.and_field(field, problem),
        });
    }

    fn id(&mut self, field: &str, id: &str) {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        if id.is_empty() {
            self.add(field, "must be set; choose an id of your own");
        } else if id.chars().count() > ID_CHARS || !id.chars().all(fits) {
            self.add(
                field,
                "must be 1 to 64 letters, digits or the characters - _ . @",
            );
        }
    }

    fn meta_id(&mut self, field: &str, id: &str, what: &str) {
        let digits =
            (1..=META_ID_DIGITS).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_digit());
        if !digits {
            self.add(
                field,
                format!("must be {what}, digits only; Meta's business settings show it"),
            );
        }
    }

    fn name(&mut self, field: &str, name: &mut String, required: bool) {
        *name = name.trim().to_owned();
        if name.is_empty() && required {
            self.add(field, "must be set");
        } else if name.chars().count() > NAME_CHARS || name.chars().any(char::is_control) {
            self.add(
                field,
                "must be at most 200 characters, without line breaks or control characters",
            );
        }
    }

    fn plan(&mut self, field: &str, plan: i32) {
        if !matches!(
            Plan::try_from(plan),
            Ok(Plan::Essentials | Plan::Premium | Plan::Elite)
        ) {
            self.add(field, "must be PLAN_ESSENTIALS, PLAN_PREMIUM or PLAN_ELITE");
        }
    }

    fn graph_token(&mut self, access_token: &str) {
        let printable = access_token.bytes().all(|b| b.is_ascii_graphic());
        if access_token.is_empty() || access_token.len() > TOKEN_BYTES || !printable {
            self.add(
                "access_token",
                "must be the account's Graph API token, as Meta gave it out",
            );
        }
    }

    fn done(self) -> Result<(), Refusal> {
        self.0.map_or(Ok(()), Err)
    }
}

/// A tenant to be created.
pub(crate) fn tenant(tenant: Option<Tenant>) -> Result<Tenant, Refusal> {
    let mut tenant = tenant.ok_or_else(|| Refusal::invalid("tenant", "must be set"))?;
    let mut problems = Problems::default();
    problems.id("tenant.id", &tenant.id);
    problems.name("tenant.name", &mut tenant.name, true);
    problems.plan("tenant.plan", tenant.plan);
    problems.done()?;
    Ok(tenant)
}

/// A change of a tenant: an empty name and an unspecified plan stay as they are.
pub(crate) fn tenant_change(name: &mut String, plan: i32) -> Result<(), Refusal> {
    let mut problems = Problems::default();
    problems.name("name", name, false);
    if plan != Plan::Unspecified as i32 {
        problems.plan("plan", plan);
    }
    problems.done()
}

/// A user to be created; roles come out sorted and once each.
pub(crate) fn user(user: Option<User>) -> Result<User, Refusal> {
    let mut user = user.ok_or_else(|| Refusal::invalid("user", "must be set"))?;
    let mut problems = Problems::default();
    problems.id("user.id", &user.id);
    problems.name("user.display_name", &mut user.display_name, true);
    user.roles.sort_unstable();
    user.roles.dedup();
    let known = |role: &i32| matches!(Role::try_from(*role), Ok(role) if role != Role::Unspecified);
    if user.roles.is_empty() {
        problems.add(
            "user.roles",
            "must hold at least one role, such as ROLE_AGENT",
        );
    } else if !user.roles.iter().all(known) {
        problems.add(
            "user.roles",
            "may hold ROLE_ADMINISTRATOR, ROLE_SUPERVISOR, ROLE_AGENT and ROLE_FLOW_AUTHOR",
        );
    }
    problems.done()?;
    Ok(user)
}

/// What an access token is for.
pub(crate) fn note(note: &mut String) -> Result<(), Refusal> {
    let mut problems = Problems::default();
    problems.name("note", note, false);
    problems.done()
}

/// A connector to be created, with its zone in its canonical spelling.
pub(crate) fn connector(
    connector: Option<Connector>,
    access_token: &str,
) -> Result<Connector, Refusal> {
    let mut connector = connector.ok_or_else(|| Refusal::invalid("connector", "must be set"))?;
    let mut problems = Problems::default();
    problems.id("connector.id", &connector.id);
    problems.name("connector.name", &mut connector.name, true);
    problems.meta_id(
        "connector.waba_id",
        &connector.waba_id,
        "the id of the WhatsApp Business Account",
    );
    if !connector.portfolio_id.is_empty() {
        problems.meta_id(
            "connector.portfolio_id",
            &connector.portfolio_id,
            "the id of the business portfolio or empty",
        );
    }
    let known = connector.currency_code.parse::<Currency>().is_ok()
        && CURRENCIES
            .split_ascii_whitespace()
            .any(|code| code == connector.currency_code);
    if !known {
        problems.add(
            "connector.currency_code",
            "must be a currency of ISO 4217 in capitals, such as USD",
        );
    }
    match zone(&connector.time_zone) {
        Some(name) => connector.time_zone = name,
        None => problems.add(
            "connector.time_zone",
            "must be a zone of the IANA database, such as Europe/Berlin or America/New_York",
        ),
    }
    problems.graph_token(access_token);
    problems.done()?;
    Ok(connector)
}

/// A Graph API token that replaces another.
pub(crate) fn graph_token(access_token: &str) -> Result<(), Refusal> {
    let mut problems = Problems::default();
    problems.graph_token(access_token);
    problems.done()
}

/// The canonical name of a zone, if there is such a zone.
fn zone(name: &str) -> Option<String> {
    let zone = TimeZone::get(name).ok()?;
    let name = zone.iana_name()?;
    (name != "Etc/Unknown").then(|| name.to_owned())
}

/// A number to be created; its phone comes out as digits only.
pub(crate) fn number(number: Option<Number>) -> Result<Number, Refusal> {
    let mut number = number.ok_or_else(|| Refusal::invalid("number", "must be set"))?;
    let mut problems = Problems::default();
    problems.meta_id("number.id", &number.id, "Meta's phone_number_id");
    problems.id("number.connector_id", &number.connector_id);
    match ContactIdentity::from_phone(&number.phone) {
        Ok(identity) => number.phone = identity.phone.unwrap_or_default(),
        Err(error) => problems.add("number.phone", format!("{error}, such as 15550783881")),
    }
    problems.name("number.verified_name", &mut number.verified_name, false);
    if !number.flow_id.is_empty() {
        problems.id("number.flow_id", &number.flow_id);
    }
    problems.done()?;
    Ok(number)
}

/// The flow a number is bound to; empty unbinds.
pub(crate) fn flow_id(flow_id: &str) -> Result<(), Refusal> {
    let mut problems = Problems::default();
    if !flow_id.is_empty() {
        problems.id("flow_id", flow_id);
    }
    problems.done()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_those_of_the_iana_database() {
        assert_eq!(zone("europe/berlin").as_deref(), Some("Europe/Berlin"));
        assert_eq!(zone("UTC").as_deref(), Some("UTC"));
        for bad in ["", "CEST", "+02:00", "Europe/Atlantis", "Etc/Unknown"] {
            assert_eq!(zone(bad), None, "{bad}");
        }
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let bad = Connector {
            id: "a b".into(),
            waba_id: "12x".into(),
            currency_code: "XYZ".into(),
            time_zone: "Moon/Base".into(),
            ..Connector::default()
        };
        let status = tonic::Status::from(connector(Some(bad), "").unwrap_err());
        let details = tonic_types::StatusExt::get_details_bad_request(&status).unwrap();
        let fields: Vec<&str> = details
            .field_violations
            .iter()
            .map(|violation| violation.field.as_str())
            .collect();
        assert_eq!(
            fields,
            [
                "connector.id",
                "connector.name",
                "connector.waba_id",
                "connector.currency_code",
                "connector.time_zone",
                "access_token"
            ]
        );
    }
}
