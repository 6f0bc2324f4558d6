//! Decimals as people write them: `"2e-4"`, `0.0002`, `1`.
//!
//! Holds: two spellings of one number are one value; the value survives `f64` and JSON unchanged, even through parsers
//! that compute `digits · 10^power` in floating point (exact up to 15 digits and powers of 22).

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use crate::contract::canonical;

/// A decimal number without rounding: `mantissa · 10^exponent`, the mantissa without trailing zeros.
///
/// Resources hold decimals as strings (Kubernetes wants no floats in a spec); a bare number is read too, since
/// people write `learningRate: 2e-4`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    mantissa: i64,
    exponent: i32,
}

/// Why a text is not a [`Decimal`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    #[error("is not a decimal number (write it like \"0.0002\" or \"2e-4\")")]
    NotANumber,
    #[error("has more than 15 significant digits")]
    TooPrecise,
    #[error("is out of reach (below 1e15, not finer than 1e-22)")]
    TooLargeOrSmall,
}

impl Decimal {
    const MAX_DIGITS: usize = 15;
    const MIN_EXPONENT: i64 = -22;

    pub fn to_f64(self) -> f64 {
        format!("{}e{}", self.mantissa, self.exponent)
            .parse()
            .expect("an integer, `e` and an integer are a float literal")
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let (number, power) = match unsigned.find(['e', 'E']) {
            Some(at) => (&unsigned[..at], parse_power(&unsigned[at + 1..])?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(DecimalError::NotANumber);
        }
        let significant = digits.trim_start_matches('0').trim_end_matches('0');
        if significant.is_empty() {
            return Ok(Self { mantissa: 0, exponent: 0 });
        }
        if significant.len() > Self::MAX_DIGITS {
            return Err(DecimalError::TooPrecise);
        }
        let trailing = digits.len() - digits.trim_end_matches('0').len();
        let shift = i64::try_from(trailing).unwrap_or(i64::MAX) - i64::try_from(fraction.len()).unwrap_or(i64::MAX);
        let exponent = i64::from(power).saturating_add(shift);
        let whole_digits = exponent.saturating_add(i64::try_from(significant.len()).unwrap_or(i64::MAX));
        if exponent < Self::MIN_EXPONENT || whole_digits > Self::MAX_DIGITS as i64 {
            return Err(DecimalError::TooLargeOrSmall);
        }
        let mantissa: i64 = significant.parse().map_err(|_| DecimalError::TooPrecise)?;
        let exponent = i32::try_from(exponent).map_err(|_| DecimalError::TooLargeOrSmall)?;
        Ok(Self { mantissa: if negative { -mantissa } else { mantissa }, exponent })
    }
}

fn parse_power(text: &str) -> Result<i32, DecimalError> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DecimalError::NotANumber);
    }
    text.parse().map_err(|_| DecimalError::TooLargeOrSmall)
}

impl TryFrom<f64> for Decimal {
    type Error = DecimalError;

    fn try_from(value: f64) -> Result<Self, DecimalError> {
        format!("{value:e}").parse()
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&canonical::number(self.to_f64()))
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decimal({self})")
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DecimalVisitor;

        impl Visitor<'_> for DecimalVisitor {
            type Value = Decimal;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Decimal, E> {
                text.parse().map_err(|error| E::custom(format!("{text:?} {error}")))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Decimal, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Decimal, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Decimal, E> {
                Decimal::try_from(value).map_err(|error| E::custom(format!("{value} {error}")))
            }
        }

        deserializer.deserialize_any(DecimalVisitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_number_are_one_value() {
        let spellings = ["2e-4", "0.0002", "+.0002", "0.00020", "20E-5", "000.0002e0", "2.0e-04"];
        for text in spellings {
            assert_eq!(text.parse::<Decimal>().unwrap().to_string(), "0.0002", "{text}");
        }
        assert_eq!(serde_yaml::from_str::<Decimal>("2e-4").unwrap(), serde_yaml::from_str("'0.0002'").unwrap());
        assert_eq!(serde_yaml::from_str::<Decimal>("16").unwrap(), serde_yaml::from_str("16.0").unwrap());
        assert_eq!("-0".parse::<Decimal>().unwrap(), "0".parse().unwrap());
    }

    #[test]
    fn what_is_no_decimal_says_why() {
        let cases = [
            ("", DecimalError::NotANumber),
            ("fast", DecimalError::NotANumber),
            ("1.2.3", DecimalError::NotANumber),
            ("1e", DecimalError::NotANumber),
            ("--1", DecimalError::NotANumber),
            ("inf", DecimalError::NotANumber),
            ("٣", DecimalError::NotANumber),
            ("0.1234567890123456", DecimalError::TooPrecise),
            ("1e-23", DecimalError::TooLargeOrSmall),
            ("1e15", DecimalError::TooLargeOrSmall),
            ("186478874896086e5", DecimalError::TooLargeOrSmall),
            ("1e99999999999", DecimalError::TooLargeOrSmall),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Decimal>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_decimal_survives_f64_json_and_text(mantissa in -999_999_999_999_999i64..=999_999_999_999_999, exponent in -22i32..=22) {
            let decimal: Decimal = format!("{mantissa}e{exponent}").parse().or_else(|_| "0".parse()).unwrap();
            prop_assert_eq!(Decimal::try_from(decimal.to_f64()).ok(), Some(decimal));
            prop_assert_eq!(decimal.to_string().parse(), Ok(decimal));
            let json = serde_json::to_string(&decimal.to_f64()).unwrap();
            prop_assert_eq!(serde_json::from_str::<f64>(&json).unwrap().to_bits(), decimal.to_f64().to_bits());
            let canonical = canonical::number(decimal.to_f64());
            prop_assert_eq!(serde_json::from_str::<f64>(&canonical).unwrap().to_bits(), decimal.to_f64().to_bits());
        }
    }
}
