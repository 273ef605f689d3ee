//! What values may be.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::duration::{self, parse_duration};
use super::error::{Error, Problem};

/// What the values of a configuration may be. As JSON:
///
/// ```json
/// {"keys": {
///    "pool.size": {"type": "integer", "min": 1, "max": 64, "required": true},
///    "log.level": {"type": "enum", "values": ["info", "debug"]},
///    "timeout":   {"type": "duration", "description": "of one request"}},
///  "other_keys": "refuse"}
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// By key.
    pub keys: BTreeMap<String, Rule>,
    /// What applies to keys that are not listed.
    #[serde(default)]
    pub other_keys: OtherKeys,
}

/// What applies to keys that a schema does not list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OtherKeys {
    /// They may have any value.
    #[default]
    Allow,
    /// They may not exist.
    Refuse,
}

/// What one value may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Its type.
    #[serde(flatten)]
    pub kind: Kind,
    /// Whether the key must exist.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// What the value means, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// The type of a value. All limits are allowed values themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Kind {
    /// Any text.
    String {
        /// The longest allowed, in bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes_max: Option<usize>,
        /// Whether it may be empty.
        #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
        empty: bool,
    },
    /// A whole number of 64 bits.
    Integer {
        /// The smallest allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<i64>,
        /// The largest allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<i64>,
    },
    /// A finite number.
    Float {
        /// The smallest allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<f64>,
        /// The largest allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<f64>,
    },
    /// `true` or `false`.
    Bool,
    /// Numbers with units, as [`parse_duration`] reads them.
    Duration {
        /// The shortest allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<String>,
        /// The longest allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<String>,
    },
    /// One of several words.
    Enum {
        /// The words, at least one.
        values: Vec<String>,
    },
    /// Any JSON.
    Json,
}

fn yes() -> bool {
    true
}

impl Kind {
    /// Any text.
    pub fn string() -> Self {
        Self::String { bytes_max: None, empty: true }
    }

    /// A whole number in a range.
    pub fn integer(range: std::ops::RangeInclusive<i64>) -> Self {
        Self::Integer { min: Some(*range.start()), max: Some(*range.end()) }
    }

    /// One of several words.
    pub fn one_of(values: &[&str]) -> Self {
        Self::Enum { values: values.iter().map(|&value| value.to_owned()).collect() }
    }

    /// The names of its limits.
    fn fields(&self) -> &'static [&'static str] {
        match self {
            Self::String { .. } => &["bytes_max", "empty"],
            Self::Integer { .. } | Self::Float { .. } | Self::Duration { .. } => &["min", "max"],
            Self::Enum { .. } => &["values"],
            Self::Bool | Self::Json => &[],
        }
    }

    /// Whether the text is a value of this type within its limits.
    fn allows(&self, text: &str) -> bool {
        match self {
            Self::String { bytes_max, empty } => {
                bytes_max.is_none_or(|max| text.len() <= max) && (*empty || !text.is_empty())
            }
            Self::Integer { min, max } => text.parse().is_ok_and(|number| within(&number, min, max)),
            Self::Float { min, max } => {
                text.parse().is_ok_and(|number: f64| number.is_finite() && within(&number, min, max))
            }
            Self::Bool => matches!(text, "true" | "false"),
            Self::Duration { min, max } => {
                let limit = |limit: &Option<String>| limit.as_deref().and_then(parse_duration);
                parse_duration(text).is_some_and(|value| within(&value, &limit(min), &limit(max)))
            }
            Self::Enum { values } => values.iter().any(|value| value == text),
            Self::Json => serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok(),
        }
    }

    /// What is allowed, as a text for people.
    fn allowed(&self) -> String {
        match self {
            Self::String { bytes_max, empty } => {
                let length = bytes_max.map_or_else(String::new, |max| format!(" of at most {max} bytes"));
                format!("a text{length}{}", if *empty { "" } else { " that is not empty" })
            }
            Self::Integer { min, max } => format!("a whole number{}", range(min, max)),
            Self::Float { min, max } => format!("a number{}", range(min, max)),
            Self::Bool => "true or false".to_owned(),
            Self::Duration { min, max } => format!("{}{}", duration::ALLOWED, range(min, max)),
            Self::Enum { values } => format!("one of {}", values.join(", ")),
            Self::Json => "JSON".to_owned(),
        }
    }

    /// What makes no sense in the limits.
    fn flaw(&self) -> Option<String> {
        let crossed = match self {
            Self::String { bytes_max, empty } => !empty && *bytes_max == Some(0),
            Self::Integer { min, max } => min.zip(*max).is_some_and(|(min, max)| min > max),
            Self::Float { min, max } => min.zip(*max).is_some_and(|(min, max)| min > max),
            Self::Duration { min, max } => {
                for limit in [min, max].into_iter().flatten() {
                    if parse_duration(limit).is_none() {
                        return Some(format!("the limit {limit:?} is not {}", duration::ALLOWED));
                    }
                }
                let limit = |limit: &Option<String>| limit.as_deref().and_then(parse_duration);
                limit(min).zip(limit(max)).is_some_and(|(min, max)| min > max)
            }
            Self::Enum { values } => values.is_empty(),
            Self::Bool | Self::Json => false,
        };
        crossed.then(|| "no value is allowed by its limits".to_owned())
    }
}

fn within<T: PartialOrd>(value: &T, min: &Option<T>, max: &Option<T>) -> bool {
    min.as_ref().is_none_or(|min| value >= min) && max.as_ref().is_none_or(|max| value <= max)
}

fn range<T: std::fmt::Display>(min: &Option<T>, max: &Option<T>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!(" from {min} to {max}"),
        (Some(min), None) => format!(" of at least {min}"),
        (None, Some(max)) => format!(" of at most {max}"),
        (None, None) => String::new(),
    }
}

impl Schema {
    /// A schema with one more key.
    #[must_use]
    pub fn with(mut self, key: &str, kind: Kind) -> Self {
        self.keys.insert(key.to_owned(), Rule { kind, required: false, description: String::new() });
        self
    }

    /// Reads the JSON of a schema.
    ///
    /// # Errors
    /// [`Error::Argument`] says what is wrong.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let wrong = |error: serde_json::Error| Error::argument("schema", error.to_string());
        let schema: Self = serde_json::from_str(text).map_err(wrong)?;
        schema.check()?;
        // Serde does not refuse unknown fields of a flattened rule.
        let raw: serde_json::Value = serde_json::from_str(text).map_err(wrong)?;
        for (key, rule) in &schema.keys {
            let fields = raw["keys"][key].as_object().into_iter().flat_map(serde_json::Map::keys);
            let known = rule.kind.fields();
            let is_known =
                |field: &str| ["type", "required", "description"].contains(&field) || known.contains(&field);
            if let Some(field) = fields.map(String::as_str).find(|field| !is_known(field)) {
                let why = format!("this type has no field {field:?}; it has {}", known.join(", "));
                return Err(Error::argument(format!("schema of {key}"), why));
            }
        }
        Ok(schema)
    }

    /// Whether the rules make sense.
    ///
    /// # Errors
    /// [`Error::Argument`] names the first that does not.
    pub fn check(&self) -> Result<(), Error> {
        for (key, rule) in &self.keys {
            super::change::check_key(key)?;
            if let Some(flaw) = rule.kind.flaw() {
                return Err(Error::argument(format!("schema of {key}"), flaw));
            }
        }
        Ok(())
    }

    /// Whether the values are allowed.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every value that is not.
    pub fn validate(&self, values: &BTreeMap<String, String>) -> Result<(), Error> {
        let missing = self.keys.iter().filter(|(key, rule)| rule.required && !values.contains_key(*key));
        let missing = missing.map(|(key, rule)| Problem {
            key: key.clone(),
            value: None,
            allowed: rule.kind.allowed(),
        });
        let wrong = values.iter().filter_map(|(key, value)| {
            let allowed = match self.keys.get(key) {
                Some(rule) if rule.kind.allows(value) => return None,
                Some(rule) => rule.kind.allowed(),
                None if self.other_keys == OtherKeys::Allow => return None,
                None => "the schema does not have this key".to_owned(),
            };
            Some(Problem { key: key.clone(), value: Some(value.clone()), allowed })
        });
        let problems: Vec<Problem> = missing.chain(wrong).collect();
        if problems.is_empty() { Ok(()) } else { Err(Error::Invalid(problems)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validate(schema: &str, key: &str, value: &str) -> Result<(), Error> {
        let values = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        Schema::from_json(schema).unwrap().validate(&values)
    }

    #[test]
    fn each_type_allows_its_values_and_no_others() {
        for (rule, allowed, refused) in [
            (r#""type":"string","bytes_max":2,"empty":false"#, vec!["a", "ab"], vec!["", "abc"]),
            (r#""type":"integer","min":-1,"max":10"#, vec!["-1", "10"], vec!["-2", "11", "1.0", "", "ten"]),
            (r#""type":"float","min":0.5"#, vec!["0.5", "1e3"], vec!["0.4", "NaN", "inf", "x"]),
            (r#""type":"bool""#, vec!["true", "false"], vec!["True", "1", ""]),
            (r#""type":"duration","max":"1m""#, vec!["1m", "59s"], vec!["61s", "1"]),
            (r#""type":"enum","values":["a","b"]"#, vec!["a", "b"], vec!["c", "", "a "]),
            (r#""type":"json""#, vec!["1", "[{}]", "\"x\""], vec!["x", "{", ""]),
        ] {
            let schema = format!(r#"{{"keys":{{"k":{{{rule}}}}}}}"#);
            for value in allowed {
                validate(&schema, "k", value).unwrap_or_else(|error| panic!("{rule} {value:?}: {error}"));
            }
            for value in refused {
                assert!(validate(&schema, "k", value).is_err(), "{rule} {value:?}");
            }
        }
    }

    #[test]
    fn a_refusal_names_every_problem_and_what_is_allowed() {
        let schema = r#"{"other_keys":"refuse","keys":{"a":{"type":"integer","min":1,"max":9},
            "b":{"type":"bool","required":true}}}"#;
        let values = [("a", "10"), ("c", "x")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let error = Schema::from_json(schema).unwrap().validate(&BTreeMap::from(values)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "b is missing: true or false\n\
             a cannot be \"10\": a whole number from 1 to 9\n\
             c cannot be \"x\": the schema does not have this key"
        );
    }

    #[test]
    fn a_schema_that_makes_no_sense_is_refused() {
        for schema in [
            "{",
            r#"{"keys":{},"more":1}"#,
            r#"{"keys":{"a/b":{"type":"bool"}}}"#,
            r#"{"keys":{"a":{"type":"integer","min":2,"max":1}}}"#,
            r#"{"keys":{"a":{"type":"duration","min":"soon"}}}"#,
            r#"{"keys":{"a":{"type":"enum","values":[]}}}"#,
            r#"{"keys":{"a":{"type":"colour"}}}"#,
            r#"{"keys":{"a":{"type":"integer","mim":1}}}"#,
        ] {
            assert!(matches!(Schema::from_json(schema), Err(Error::Argument { .. })), "{schema}");
        }
    }

    #[test]
    fn a_schema_survives_its_json() {
        let schema = Schema::default().with("a", Kind::integer(1..=2)).with("b", Kind::one_of(&["x"]));
        let schema = schema.with("c", Kind::string()).with("d", Kind::Json);
        let text = serde_json::to_string(&schema).unwrap();
        assert_eq!(Schema::from_json(&text).unwrap(), schema, "{text}");
    }
}
