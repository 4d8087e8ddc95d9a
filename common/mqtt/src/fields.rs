//! MQTT's basic fields, read from borrowed bytes. Reads inside the slice it was given or answers none.

use crate::fault::Fault;

/// What is left of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.bytes.split_at_checked(n)?;
        self.bytes = tail;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.bytes.split_first_chunk::<N>()?;
        self.bytes = tail;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// A variable byte integer in its shortest form (MQTT 5 section 1.5.5).
    pub(crate) fn varint(&mut self) -> Option<u32> {
        let mut value = 0;
        for place in 0..4 {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return (byte != 0 || place == 0).then_some(value);
            }
        }
        None
    }

    /// Binary data: two bytes of length and as many bytes.
    pub(crate) fn binary(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    /// A UTF-8 string without NUL (section 1.5.4).
    pub(crate) fn text(&mut self) -> Result<&'a str, Fault> {
        text(self.binary().ok_or(CUT)?)
    }
}

/// Bytes as MQTT's UTF-8 string.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Fault> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !bytes.contains(&0) => Ok(text),
        Ok(_) => Err(Fault { what: "a string holds NUL", ..CUT }),
        Err(_) => Err(Fault { what: "a string is not UTF-8", ..CUT }),
    }
}

/// A field runs over the end of its packet.
pub(crate) const CUT: Fault = Fault {
    code: riser_model::door::Code::Malformed,
    reason: rumqttc::v5::mqttbytes::v5::DisconnectReasonCode::MalformedPacket,
    what: "a field runs over the end of its packet",
    want: "a packet as in MQTT 3.1.1 or 5",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_must_be_in_their_shortest_form() {
        for (bytes, value) in [
            (&[0x00][..], Some(0)),
            (&[0x7f], Some(127)),
            (&[0x80, 0x01], Some(128)),
            (&[0xff, 0xff, 0xff, 0x7f], Some(268_435_455)),
            (&[0x80, 0x00], None),
            (&[0x80], None),
            (&[0x80, 0x80, 0x80, 0x80, 0x01], None),
        ] {
            assert_eq!(Fields::new(bytes).varint(), value, "{bytes:x?}");
        }
    }

    #[test]
    fn strings_hold_neither_nul_nor_other_bytes_than_utf8() {
        assert_eq!(Fields::new(b"\0\x02\xc3\xa9").text(), Ok("é"));
        assert!(Fields::new(b"\0\x01\0").text().is_err());
        assert!(Fields::new(b"\0\x01\xff").text().is_err());
        assert!(Fields::new(b"\0\x03\xed\xa0\x80").text().is_err(), "a surrogate");
        assert!(Fields::new(b"\0\x03ab").text().is_err());
    }
}
