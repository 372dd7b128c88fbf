//! Money: whole micros (10⁻⁶) of a currency unit. Integers, so sums are exact; currencies never
//! mix and are never converted.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An ISO 4217 code such as `USD`: three upper-case letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

/// An exact amount of one currency; may be negative (a credit).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Which currency.
    pub currency: Currency,
    /// Millionths of the currency's unit: USD 0.0068 is 6 800.
    pub micros: i64,
}

/// Why an amount or currency was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not three upper-case letters.
    #[error("`{0}` is not a currency code of three upper-case letters")]
    BadCurrency(String),
    /// Not a decimal number with at most six digits behind the point.
    #[error("`{0}` is not an amount with at most six decimals")]
    BadAmount(String),
    /// Two currencies met in one sum.
    #[error("cannot add {right} to {left}: currencies never mix")]
    Mixed {
        /// Currency of the sum so far.
        left: Currency,
        /// Currency of the amount to be added.
        right: Currency,
    },
    /// The sum does not fit 64 bits of micros.
    #[error("the sum is too large")]
    Overflow,
}

impl Currency {
    /// United States dollar.
    pub const USD: Self = Self(*b"USD");
    /// Euro.
    pub const EUR: Self = Self(*b"EUR");

    /// The three letters.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }
}

impl FromStr for Currency {
    type Err = MoneyError;
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        match text.as_bytes() {
            [a, b, c] if [a, b, c].iter().all(|byte| byte.is_ascii_uppercase()) => {
                Ok(Self([*a, *b, *c]))
            }
            _ => Err(MoneyError::BadCurrency(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = MoneyError;
    fn try_from(text: String) -> Result<Self, MoneyError> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> String {
        currency.code().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Money {
    /// No money, in `currency`.
    pub const fn zero(currency: Currency) -> Self {
        Self {
            currency,
            micros: 0,
        }
    }

    /// Parses a decimal such as `0.0068`, exactly.
    ///
    /// # Errors
    /// When the text is not a plain decimal, has more than six decimals, or does not fit.
    pub fn parse(currency: Currency, text: &str) -> Result<Self, MoneyError> {
        let bad = || MoneyError::BadAmount(text.to_owned());
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !plain(whole) || !plain(fraction) || fraction.len() > 6 {
            return Err(bad());
        }
        let units = whole.parse::<i64>().map_err(|_| bad())?;
        let parts = format!("{fraction:0<6}")
            .parse::<i64>()
            .map_err(|_| bad())?;
        let micros = units
            .checked_mul(1_000_000)
            .and_then(|micros| micros.checked_add(parts))
            .ok_or_else(bad)?;
        Ok(Self {
            currency,
            micros: if negative { -micros } else { micros },
        })
    }

    /// The sum of two amounts of one currency.
    ///
    /// # Errors
    /// When the currencies differ or the sum does not fit.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::Mixed {
                left: self.currency,
                right: other.currency,
            });
        }
        let micros = self
            .micros
            .checked_add(other.micros)
            .ok_or(MoneyError::Overflow)?;
        Ok(Self {
            currency: self.currency,
            micros,
        })
    }

    /// The same amount with the other sign.
    pub fn negated(self) -> Self {
        Self {
            currency: self.currency,
            micros: -self.micros,
        }
    }
}

impl fmt::Display for Money {
    /// `USD 0.006800`: always six decimals, so columns line up and nothing is rounded.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.micros < 0 { "-" } else { "" };
        let micros = self.micros.unsigned_abs();
        write!(
            f,
            "{} {sign}{}.{:06}",
            self.currency,
            micros / 1_000_000,
            micros % 1_000_000
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        let amount = Money::parse(Currency::USD, "0.0068").unwrap();
        assert_eq!(amount.micros, 6_800);
        assert_eq!(amount.to_string(), "USD 0.006800");
        assert_eq!(
            Money::parse(Currency::USD, "-1.5").unwrap().micros,
            -1_500_000
        );
        for bad in [
            "",
            ".5",
            "1.",
            "1,5",
            "0.0000001",
            "1e3",
            "+1",
            "9223372036854775807",
        ] {
            assert!(Money::parse(Currency::USD, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn currencies_never_mix() {
        let sum = Money::zero(Currency::USD).plus(Money::zero(Currency::EUR));
        assert!(matches!(sum, Err(MoneyError::Mixed { .. })));
        assert!("usd".parse::<Currency>().is_err());
    }
}
