//! The little of DER that is needed beside the certificate parser: to find the bytes of an element.

/// Tags.
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const BIT_STRING: u8 = 0x03;

/// An element: its tag, its content, and both with the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    pub(crate) whole: &'a [u8],
}

/// Takes the first element off `input`; `None` if it is not whole.
pub(crate) fn take<'a>(input: &mut &'a [u8]) -> Option<Element<'a>> {
    let (&tag, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    let whole = &input[..input.len() - rest.len()];
    *input = rest;
    Some(Element { tag, content, whole })
}

/// As [`take`], of an element with this tag.
pub(crate) fn take_tagged<'a>(input: &mut &'a [u8], tag: u8) -> Option<Element<'a>> {
    take(input).filter(|element| element.tag == tag)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_are_taken_one_after_another() {
        let mut input: &[u8] = &[0x04, 1, 7, 0x30, 0x81, 2, 5, 0, 9];
        assert_eq!(take_tagged(&mut input, OCTET_STRING).unwrap().content, [7]);
        let sequence = take(&mut input).unwrap();
        assert_eq!((sequence.tag, sequence.content), (SEQUENCE, &[5, 0][..]));
        assert_eq!(sequence.whole, [0x30, 0x81, 2, 5, 0]);
        assert_eq!(input, [9]);
        assert_eq!(take(&mut input), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_element_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut input = &bytes[..];
            while let Some(element) = take(&mut input) {
                prop_assert!(element.whole.len() >= element.content.len() + 2);
            }
        }
    }
}
