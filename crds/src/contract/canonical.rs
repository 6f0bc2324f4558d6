//! Canonical JSON (RFC 8785) and sha256: what plan digests and stage keys are computed over.
//!
//! Holds: equal values give equal bytes, whatever order their fields were written in and whatever version of a
//! JSON library made them; `1` and `1.0` are one number.

use serde::Serialize;
use serde_json::{Number, Value};
use sha2::{Digest as _, Sha256};

/// `value` without spaces, object keys sorted by UTF-16 code unit, numbers as ECMAScript prints them.
///
/// # Errors
/// When `value` can't be JSON at all (map keys that are not strings).
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<String> {
    let mut text = String::new();
    write(&mut text, &serde_json::to_value(value)?);
    Ok(text)
}

/// sha256 of `bytes`, 64 lower-case hex digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn write(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(value) => out.push_str(&json_number(value)),
        Value::String(_) => out.push_str(&value.to_string()),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(out, item);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (index, (name, item)) in fields.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write(out, item);
            }
            out.push('}');
        }
    }
}

fn json_number(value: &Number) -> String {
    if value.is_f64() { value.as_f64().map_or_else(|| value.to_string(), number) } else { value.to_string() }
}

/// A finite number as ECMAScript's `Number::toString` prints it (ECMA-262, 6.1.6.1.20): the shortest digits that
/// read back as the same `f64`.
pub fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_string();
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let scientific = format!("{:e}", value.abs());
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits = digits.replace('.', "");
    let point = exponent.parse::<i32>().unwrap_or(0) + 1;
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let zeros = |n: i32| "0".repeat(usize::try_from(n).unwrap_or(0));
    let body = if count <= point && point <= 21 {
        format!("{digits}{}", zeros(point - count))
    } else if 0 < point && point <= 21 {
        let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
        format!("{whole}.{fraction}")
    } else if -6 < point && point <= 0 {
        format!("0.{}{digits}", zeros(-point))
    } else {
        let (first, rest) = digits.split_at(1);
        let point_and_rest = if rest.is_empty() { String::new() } else { format!(".{rest}") };
        format!("{first}{point_and_rest}e{:+}", point - 1)
    };
    format!("{sign}{body}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_print_as_ecmascript_prints_them() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (2e-4, "0.0002"),
            (1.41e-5, "0.0000141"),
            (0.000_001, "0.000001"),
            (1e-7, "1e-7"),
            (1.25e-8, "1.25e-8"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (123_456.789, "123456.789"),
            (0.1 + 0.2, "0.30000000000000004"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn field_order_and_number_type_do_not_show() {
        let a = json!({"b": 1, "a": {"y": [1.0, null, true], "x": "é\n\u{1}"}});
        let b = json!({"a": {"x": "é\n\u{1}", "y": [1, null, true]}, "b": 1.0});
        assert_eq!(to_string(&a).unwrap(), to_string(&b).unwrap());
        assert_eq!(to_string(&a).unwrap(), r#"{"a":{"x":"é\n\u0001","y":[1,null,true]},"b":1}"#);
    }

    #[test]
    fn sha256_is_the_published_one() {
        assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
