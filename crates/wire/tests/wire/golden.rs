//! Readable notation for bytes: pairs of hex digits, and text between quotes. Spaces are ignored.

/// The bytes that `text` describes. Panics on invalid notation, so that a test with a typo fails.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, part) in text.split('\'').enumerate() {
        if index % 2 == 1 {
            out.extend_from_slice(part.as_bytes());
            continue;
        }
        let digits: Vec<u32> = part
            .chars()
            .filter(|c| !c.is_whitespace())
            .map(|c| c.to_digit(16).expect("a hex digit"))
            .collect();
        assert_eq!(digits.len() % 2, 0, "half a byte in {part:?}");
        out.extend(digits.chunks_exact(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()));
    }
    out
}

/// A `Stat` whose fields are all different, and
pub(crate) const STAT: wire::Stat = wire::Stat {
    czxid: 0x0000_0001_0000_0002,
    mzxid: 0x0000_0001_0000_0003,
    ctime: 0x0000_018B_CFE5_6800,
    mtime: 0x0000_018B_CFE5_6801,
    version: 4,
    cversion: 5,
    aversion: 6,
    ephemeral_owner: 0x0100_0000_0000_0007,
    data_length: 8,
    num_children: 9,
    pzxid: 0x0000_0001_0000_000A,
};

/// its 68 bytes.
pub(crate) const STAT_BYTES: &str = "
    0000000100000002 0000000100000003 0000018BCFE56800 0000018BCFE56801
    00000004 00000005 00000006 0100000000000007 00000008 00000009 000000010000000A";

#[test]
fn stat_has_its_fields_in_wire_order() {
    let golden = bytes(STAT_BYTES);
    assert_eq!(golden.len(), wire::Stat::ENCODED_LEN);
    let mut out = Vec::new();
    STAT.encode(&mut out);
    assert_eq!(out, golden);
    assert_eq!(wire::Stat::decode(&mut wire::jute::Reader::new(&golden)), Ok(STAT));
}
