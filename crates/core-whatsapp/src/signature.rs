//! The signature Meta puts on every webhook: HMAC-SHA256 of the raw body under the app secret
//! (`X-Hub-Signature-256: sha256=<hex>`).

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// What the header starts with.
const PREFIX: &str = "sha256=";

/// The App Secret of a Meta app, ready to compute with. It cannot be printed or read back.
#[derive(Clone)]
pub struct AppSecret {
    keyed: Hmac<Sha256>,
}

/// A text that cannot be an App Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing in it.
    #[error("the app secret is empty")]
    Empty,
    /// White space or control characters, usually from copying.
    #[error("the app secret holds white space or a control character; copy it again")]
    BadCharacter,
    /// Not usable as a key.
    #[error("the app secret cannot be used as a key")]
    BadKey,
}

/// A verifier without a secret would accept nobody, or everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSecret {
    /// No secret given.
    #[error("at least one app secret is needed to tell Meta's webhooks from anybody's")]
    None,
    /// More than the new one and the one it replaces.
    #[error(
        "{0} app secrets given; at most two can be active, the new one and the one it replaces"
    )]
    TooMany(usize),
}

impl AppSecret {
    /// Takes the secret as shown in Meta's app settings. Surrounding white space is dropped.
    ///
    /// # Errors
    /// When nothing is left, or it holds white space or control characters.
    pub fn new(text: impl AsRef<str>) -> Result<Self, SecretError> {
        let text = text.as_ref().trim();
        if text.is_empty() {
            return Err(SecretError::Empty);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(SecretError::BadCharacter);
        }
        let keyed = Hmac::new_from_slice(text.as_bytes()).map_err(|_| SecretError::BadKey)?;
        Ok(Self { keyed })
    }

    /// The header value Meta would send with `body`: `sha256=` and 64 lower-case hex digits.
    pub fn sign(&self, body: &[u8]) -> String {
        let mut mac = self.keyed.clone();
        mac.update(body);
        format!("{PREFIX}{}", hex::encode(mac.finalize().into_bytes()))
    }

    fn matches(&self, body: &[u8], signature: &[u8]) -> bool {
        let mut mac = self.keyed.clone();
        mac.update(body);
        mac.verify_slice(signature).is_ok()
    }
}

impl fmt::Debug for AppSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppSecret(…)")
    }
}

/// Tells Meta's deliveries from anybody's.
#[derive(Clone, Debug)]
pub struct Verifier {
    secrets: Vec<AppSecret>,
}

impl Verifier {
    /// A verifier that accepts any of one or two active secrets: the current one, and during a
    /// change the one before it.
    ///
    /// # Errors
    /// When there is none, or there are more than two.
    pub fn new(secrets: Vec<AppSecret>) -> Result<Self, NoSecret> {
        match secrets.len() {
            0 => Err(NoSecret::None),
            1 | 2 => Ok(Self { secrets }),
            more => Err(NoSecret::TooMany(more)),
        }
    }

    /// Whether `header` is the signature of exactly these bytes under an active secret. Compares in
    /// constant time. Hex digits may be upper or lower case; SHA-1 is never accepted.
    pub fn verify(&self, header: Option<&str>, body: &[u8]) -> bool {
        let Some(digits) = header.and_then(|header| header.strip_prefix(PREFIX)) else {
            return false;
        };
        let mut signature = [0_u8; 32];
        if hex::decode_to_slice(digits, &mut signature).is_err() {
            return false;
        }
        self.secrets
            .iter()
            .any(|secret| secret.matches(body, &signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_like_any_other_hmac() {
        // RFC 4231, test case 2.
        let secret = AppSecret::new("Jefe").unwrap();
        let signature = secret.sign(b"what do ya want for nothing?");
        assert_eq!(
            signature,
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(format!("{secret:?}"), "AppSecret(…)");
    }

    #[test]
    fn only_exact_bytes_under_an_active_secret_pass() {
        let [old, new, foreign] = ["old", "new", "foreign"].map(|s| AppSecret::new(s).unwrap());
        let verifier = Verifier::new(vec![new.clone(), old.clone()]).unwrap();
        let body = br#"{"object":"whatsapp_business_account"}"#;
        let good = new.sign(body);
        assert!(verifier.verify(Some(&good), body));
        assert!(verifier.verify(Some(&old.sign(body)), body));
        let upper = format!("sha256={}", good["sha256=".len()..].to_uppercase());
        assert!(verifier.verify(Some(&upper), body));
        for (header, body) in [
            (None, &body[..]),
            (Some(foreign.sign(body).as_str()), &body[..]),
            (Some(good.as_str()), &body[..body.len() - 1]),
            (Some(&good[..good.len() - 1]), &body[..]),
            (Some("sha1=abc"), &body[..]),
            (Some(""), &body[..]),
        ] {
            assert!(!verifier.verify(header, body), "{header:?}");
        }
    }

    #[test]
    fn one_or_two_secrets() {
        assert_eq!(Verifier::new(Vec::new()).unwrap_err(), NoSecret::None);
        let secret = AppSecret::new(" abc\n").unwrap();
        assert_eq!(
            Verifier::new(vec![secret.clone(), secret.clone(), secret]).unwrap_err(),
            NoSecret::TooMany(3)
        );
        assert_eq!(AppSecret::new(" ").unwrap_err(), SecretError::Empty);
        assert_eq!(
            AppSecret::new("a b").unwrap_err(),
            SecretError::BadCharacter
        );
    }
}
