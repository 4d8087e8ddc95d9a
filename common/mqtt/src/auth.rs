//! AUTH: the conversation between CONNECT and CONNACK, and that by which a client authenticates anew (MQTT 5, section 4.12).
//!
//! The method is how a claim is proven, by its name; the server's data is the nonce as text, the client's the bytes of its
//! signature or HMAC. After CONNACK a client begins with AUTH 0x19, by the same method and as whom it is, whenever it likes and
//! once at a time; it is challenged as before, everything else goes on meanwhile, and AUTH 0x00 says that it is done. Who
//! fails is sent away.

use crate::{
    fault::Fault,
    fields::{CUT, Fields},
    property::{self, AUTHENTICATION_DATA, AUTHENTICATION_METHOD, IN_AUTH},
};
use bytes::{BufMut, Bytes, BytesMut};
use riser_model::door::{Ask, Code, Credential, Method, Prompt, Refusal, Secret};

/// The first byte of AUTH.
const AUTH: u8 = 0xf0;
/// The reason code of its end.
const SUCCESS: u8 = 0x00;
/// The one in the middle of a conversation: continue.
const CONTINUE: u8 = 0x18;
/// The one with which a client begins anew.
const ANEW: u8 = 0x19;

/// What a client answers, if it is an answer by this method.
pub(crate) fn answer(body: &[u8], method: Method) -> Result<Secret, Fault> {
    let want = "AUTH 0x18 by CONNECT's method";
    match Said::read(body, method) {
        Ok(Said::Answer(answer)) => Ok(answer),
        Ok(Said::Anew) | Err(Wrong::Reason) => {
            Err(Fault::protocol("another AUTH than the one that is awaited", want))
        }
        Err(Wrong::Fault(fault)) => Err(fault),
    }
}

/// What is said by an AUTH.
enum Said {
    /// The answer to a challenge.
    Answer(Secret),
    /// The client begins anew. Whatever data it brings says nothing yet: it is challenged first.
    Anew,
}

/// What is wrong with an AUTH.
enum Wrong {
    /// Its reason code or method.
    Reason,
    Fault(Fault),
}

impl From<Fault> for Wrong {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Said {
    fn read(body: &[u8], method: Method) -> Result<Self, Wrong> {
        let mut fields = Fields::new(body);
        let reason = fields.u8().ok_or(CUT)?;
        let section = property::section(&mut fields, IN_AUTH)?;
        if !fields.is_empty() {
            return Err(Fault::malformed("bytes behind the end of AUTH").into());
        }
        let value =
            |id| property::each(section).find(|property| property.id == id).map(|property| property.value);
        if value(AUTHENTICATION_METHOD) != Some(method.name().as_bytes()) {
            return Err(Wrong::Reason);
        }
        match reason {
            CONTINUE => {
                let data = value(AUTHENTICATION_DATA)
                    .ok_or(Fault::protocol("AUTH without data", "the signature or HMAC as data"))?;
                Ok(Self::Answer(Secret(Bytes::copy_from_slice(data))))
            }
            ANEW => Ok(Self::Anew),
            _ => Err(Wrong::Reason),
        }
    }
}

/// A client that was let in and may say anew who it is.
#[derive(Debug, Default)]
pub(crate) struct Anew {
    /// By the method that CONNECT named, and as whom. Who named none does not.
    claim: Option<Box<(Method, Credential)>>,
    stands: Stands,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default)]
enum Stands {
    /// It has said nothing, or all is said.
    #[default]
    Quiet,
    /// The gate decides.
    Begun,
    /// The gate has asked.
    Asked,
}

impl Anew {
    /// Of a client whose CONNECT said this.
    pub(crate) fn new(method: Option<Method>, credential: Credential) -> Self {
        Self { claim: method.map(|method| Box::new((method, credential))), stands: Stands::Quiet }
    }

    /// An AUTH after CONNACK.
    pub(crate) fn heard(&mut self, body: &[u8]) -> Result<Ask, Fault> {
        let Some((method, credential)) = self.claim.as_deref() else {
            return Err(Fault::protocol("AUTH without a method in CONNECT", "no AUTH"));
        };
        let (said, stands) = match Said::read(body, *method) {
            Ok(said) => (said, self.stands),
            Err(Wrong::Reason) => {
                let want = "AUTH 0x19, or 0x18 with an answer, by CONNECT's method";
                return Err(Fault::protocol("an AUTH that begins or answers nothing", want));
            }
            Err(Wrong::Fault(fault)) => return Err(fault),
        };
        let ask = match (said, stands) {
            (Said::Anew, Stands::Quiet) => Ask::Renew(credential.clone()),
            (Said::Answer(answer), Stands::Asked) => Ask::Answer(answer),
            (Said::Anew, Stands::Begun | Stands::Asked) => {
                let want = "to wait for AUTH 0x00";
                return Err(Fault::protocol("a second AUTH 0x19 before the first is answered", want));
            }
            (Said::Answer(_), Stands::Quiet | Stands::Begun) => {
                let want = "AUTH 0x19, and to wait for the challenge";
                return Err(Fault::protocol("an answer to a challenge that was not made", want));
            }
        };
        self.stands = Stands::Begun;
        Ok(ask)
    }

    /// The gate speaks: what the client is to be told, or why it cannot be.
    pub(crate) fn asked(&mut self, prompt: &Prompt, out: &mut BytesMut) -> Result<(), Refusal> {
        let (Some((own, _)), Stands::Begun) = (self.claim.as_deref(), self.stands) else { return Ok(()) };
        match prompt {
            Prompt::Challenge { method, nonce } if method == own => {
                self.stands = Stands::Asked;
                challenge(out, *method, nonce);
                Ok(())
            }
            Prompt::Challenge { .. } | Prompt::Knocked | Prompt::Words(_) => Err(asks_more("AUTH")),
        }
    }

    /// It is who it says.
    pub(crate) fn done(&mut self, out: &mut BytesMut) {
        self.stands = Stands::Quiet;
        if let Some((method, _)) = self.claim.as_deref() {
            write(out, SUCCESS, &[(AUTHENTICATION_METHOD, method.name())]);
        }
    }
}

/// Why a gate that asks something else than the method's challenge lets nobody of MQTT pass.
pub(crate) fn asks_more(than: &str) -> Refusal {
    Refusal {
        code: Code::Denied,
        what: format!("the gate asks more than this {than} can answer"),
        want: "MQTT 5 with an authentication method".to_owned(),
    }
}

/// Challenges a client.
pub(crate) fn challenge(out: &mut BytesMut, method: Method, nonce: &str) {
    write(out, CONTINUE, &[(AUTHENTICATION_METHOD, method.name()), (AUTHENTICATION_DATA, nonce)]);
}

fn write(out: &mut BytesMut, reason: u8, said: &[(u8, &str)]) {
    let mut properties = Vec::new();
    for (id, text) in said {
        properties.push(*id);
        properties.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
        properties.extend(text.as_bytes());
    }
    // A nonce and a name: both lengths fit into one byte.
    let length = u8::try_from(properties.len()).unwrap_or(u8::MAX);
    out.put_slice(&[AUTH, length.saturating_add(2), reason, length]);
    out.put_slice(&properties);
}
