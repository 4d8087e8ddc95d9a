//! The one of MQTT 5's properties that more than the two doors of MQTT have to understand: how long a publication is
//! of use (section 3.3.2.3.3). The others travel as they came.

const PAYLOAD_FORMAT: u8 = 1;
const MESSAGE_EXPIRY: u8 = 2;
const CONTENT_TYPE: u8 = 3;
const RESPONSE_TOPIC: u8 = 8;
const CORRELATION_DATA: u8 = 9;
const USER: u8 = 38;

/// Where the seconds of a message's expiry lie among the properties of an entry, if there are any: four bytes,
/// big-endian. None too where the properties cannot be read.
pub fn expiry_at(properties: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let id = *properties.get(at)?;
        at += 1;
        match id {
            MESSAGE_EXPIRY => return (properties.len() >= at.checked_add(4)?).then_some(at),
            PAYLOAD_FORMAT => at = at.checked_add(1)?,
            CONTENT_TYPE | RESPONSE_TOPIC | CORRELATION_DATA => at = behind_text(properties, at)?,
            USER => at = behind_text(properties, behind_text(properties, at)?)?,
            _ => return None,
        }
    }
}

/// After how many seconds a publication with these properties is of no use any more.
pub fn expiry_s(properties: &[u8]) -> Option<u32> {
    let at = expiry_at(properties)?;
    Some(u32::from_be_bytes(*properties.get(at..)?.first_chunk()?))
}

/// The properties of a publication that is of no use after so many seconds, and has no others.
pub fn expiry(seconds: u32) -> [u8; 5] {
    let [a, b, c, d] = seconds.to_be_bytes();
    [MESSAGE_EXPIRY, a, b, c, d]
}

fn behind_text(properties: &[u8], at: usize) -> Option<usize> {
    let length = u16::from_be_bytes(*properties.get(at..)?.first_chunk()?);
    at.checked_add(2)?.checked_add(usize::from(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_found_wherever_it_lies() {
        let user = [USER, 0, 1, b'k', 0, 2, b'v', b'w'];
        let expiry = [MESSAGE_EXPIRY, 0, 0, 1, 2];
        for properties in [
            expiry.to_vec(),
            [&user[..], &expiry].concat(),
            [&[PAYLOAD_FORMAT, 1][..], &user, &[CORRELATION_DATA, 0, 1, 2], &expiry, &user].concat(),
        ] {
            assert_eq!(expiry_s(&properties), Some(258), "{properties:?}");
            let whole = properties.windows(5).position(|five| five == expiry).unwrap() + 5;
            assert!((0..whole).all(|cut| expiry_s(&properties[..cut]).is_none()));
        }
        assert_eq!(expiry_s(&user), None);
        assert_eq!(expiry_s(&super::expiry(70_000)), Some(70_000));
        assert_eq!(expiry_s(&[99, 0, MESSAGE_EXPIRY, 0, 0, 0, 1]), None);
    }
}
