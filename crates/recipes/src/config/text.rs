//! Texts as values of any type: what the caller asks for decides how a text is read.

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, VariantAccess, Visitor};

/// The error of `serde_json`, which says what was expected.
pub(super) type TextError = serde_json::Error;

/// A value, for serde.
#[derive(Clone, Copy)]
pub(super) struct Text<'t>(pub(super) &'t str);

/// Reads the text as a JSON number or `true` or `false`, or as JSON at all.
macro_rules! as_json {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
            let mut json = serde_json::Deserializer::from_str(self.0);
            let value = json.$method(visitor)?;
            json.end()?;
            Ok(value)
        }
    )*};
}

impl<'de> Deserializer<'de> for Text<'de> {
    type Error = TextError;

    as_json! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_unit deserialize_seq deserialize_map
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, TextError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TextError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, TextError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, TextError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TextError> {
        if self.0.trim_start().starts_with('{') {
            let mut json = serde_json::Deserializer::from_str(self.0);
            return json.deserialize_enum(name, variants, visitor);
        }
        visitor.visit_enum(Word(self.0))
    }

    serde::forward_to_deserialize_any! {
        char str string bytes byte_buf unit_struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, TextError> for Text<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// The name of a variant without content.
struct Word<'t>(&'t str);

impl<'de> EnumAccess<'de> for Word<'de> {
    type Error = TextError;
    type Variant = NoContent;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, NoContent), TextError> {
        let name: StrDeserializer<'de, TextError> = self.0.into_deserializer();
        Ok((seed.deserialize(name)?, NoContent))
    }
}

struct NoContent;

impl NoContent {
    fn refused<T>() -> Result<T, TextError> {
        Err(de::Error::custom("expected JSON with the content of the variant"))
    }
}

impl<'de> VariantAccess<'de> for NoContent {
    type Error = TextError;

    fn unit_variant(self) -> Result<(), TextError> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _: S) -> Result<S::Value, TextError> {
        Self::refused()
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, TextError> {
        Self::refused()
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, TextError> {
        Self::refused()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Level {
        Info,
        Custom { depth: u8 },
    }

    fn read<'t, T: Deserialize<'t>>(text: &'t str) -> Option<T> {
        T::deserialize(Text(text)).ok()
    }

    #[test]
    fn the_type_decides_how_a_text_is_read() {
        assert_eq!(read::<String>("5").as_deref(), Some("5"));
        assert_eq!(read::<&str>("\"quoted\""), Some("\"quoted\""));
        assert_eq!((read::<u8>("5"), read::<u8>("256"), read::<i64>("-5")), (Some(5), None, Some(-5)));
        assert_eq!((read::<u8>(""), read::<u8>("5 6"), read::<u8>("five")), (None, None, None));
        assert_eq!((read::<bool>("true"), read::<bool>("yes")), (Some(true), None));
        assert_eq!((read::<f64>("2.5"), read::<f64>("2")), (Some(2.5), Some(2.0)));
        assert_eq!(read::<Option<u8>>("5"), Some(Some(5)));
        assert_eq!(read::<Vec<u8>>("[1,2]"), Some(vec![1, 2]));
        assert_eq!(read::<BTreeMap<String, u8>>(r#"{"a":1}"#), Some(BTreeMap::from([("a".to_owned(), 1)])));
        assert_eq!(read::<Level>("info"), Some(Level::Info));
        assert_eq!(read::<Level>(r#"{"custom":{"depth":3}}"#), Some(Level::Custom { depth: 3 }));
        assert_eq!((read::<Level>("custom"), read::<Level>("loud")), (None, None));
    }
}
