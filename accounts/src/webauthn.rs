//! What a device signs with a passkey, and whether it did. Pure.
//!
//! The crates that do all of it do not fit: `webauthn-rs` needs OpenSSL, which no part of Dewpond has, and `webauthn_rp` brings
//! the crate `rsa` with its open advisory. What is left is small, because no attestation is asked for: which device somebody
//! uses is his own business. Signatures are checked by `ring`, CBOR is read by `ciborium`.
//!
//! Counters of signatures are not kept: passkeys that a person has on several devices have none, and each sign-in would
//! write a version of the document of people, which is kept for ever.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ciborium::Value as Cbor;
use ring::digest::{SHA256, digest};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Algorithms of keys, as COSE numbers them, the best liked first.
const ES256: i64 = -7;
const EDDSA: i64 = -8;
const RS256: i64 = -257;

/// Bits of the flags of a device.
const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 1 << 2;
const HAS_KEY: u8 = 1 << 6;

/// How long a device waits for its owner, in milliseconds.
const TIMEOUT_MS: u64 = 300_000;

/// Longer than any part of an answer of a device.
const PART_BYTES_MAX: usize = 16 << 10;

/// A public key, and where it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Key {
    /// The host whose pages may ask for signatures.
    rp_id: String,
    algorithm: i64,
    /// The point of a curve, or modulus and exponent, in Base64 for addresses.
    parts: Vec<String>,
}

/// What a device is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Challenge<'a> {
    /// Random bytes in Base64 for addresses.
    pub(crate) challenge: &'a str,
    /// The host of the page that asks.
    pub(crate) rp_id: &'a str,
    /// Whether the device must have made sure who its owner is.
    pub(crate) verifies_user: bool,
}

/// What a page gives to `navigator.credentials.create`.
///
/// - `known`: ids of keys that the person has.
pub(crate) fn creation(asked: Challenge<'_>, user_id: &str, email: &str, name: &str, known: &[&str]) -> Value {
    let kinds = [ES256, EDDSA, RS256].map(|algorithm| json!({ "type": "public-key", "alg": algorithm }));
    json!({
        "challenge": asked.challenge,
        "rp": { "id": asked.rp_id, "name": "Dewpond" },
        "user": { "id": URL_SAFE_NO_PAD.encode(user_id), "name": email, "displayName": name },
        "pubKeyCredParams": kinds,
        "timeout": TIMEOUT_MS,
        "excludeCredentials": known.iter().map(|id| json!({ "type": "public-key", "id": id })).collect::<Vec<_>>(),
        "authenticatorSelection": {
            "residentKey": "required", "requireResidentKey": true, "userVerification": "required",
        },
        "attestation": "none",
    })
}

/// What a page gives to `navigator.credentials.get`.
///
/// - `known`: ids of the person's keys; none if nobody is known yet.
pub(crate) fn request(asked: Challenge<'_>, known: &[&str]) -> Value {
    json!({
        "challenge": asked.challenge,
        "rpId": asked.rp_id,
        "timeout": TIMEOUT_MS,
        "allowCredentials": known.iter().map(|id| json!({ "type": "public-key", "id": id })).collect::<Vec<_>>(),
        "userVerification": if asked.verifies_user { "required" } else { "preferred" },
    })
}

/// The id and the key of a new credential. Fails with words for the person.
///
/// - `credential`: as `toJSON()` of the browser's answer has it.
pub(crate) fn created(asked: Challenge<'_>, credential: &Value) -> Result<(String, Key), String> {
    check_client(asked, credential, "webauthn.create", asked.rp_id)?;
    let attestation: Cbor = read_cbor(&mut &*part(credential, "attestationObject")?)?;
    let data = entry(&attestation, &Cbor::Text("authData".into())).and_then(Cbor::as_bytes);
    let data = data.ok_or_else(|| wrong("it has no data of the device"))?;
    let rest = check_device(data, asked.rp_id, asked.verifies_user)?;
    let flags = data[32];
    // An id of the kind of device, the length of the credential's id, the id, the key.
    let (head, rest) =
        rest.split_at_checked(18).filter(|_| flags & HAS_KEY > 0).ok_or_else(|| wrong("it has no key"))?;
    let length = usize::from(u16::from_be_bytes([head[16], head[17]]));
    let (id, mut key) = rest.split_at_checked(length).ok_or_else(|| wrong("its id is cut off"))?;
    let id = URL_SAFE_NO_PAD.encode(id);
    match credential["id"].as_str() {
        Some(named) if named == id && !id.is_empty() => Ok((id, read_key(&read_cbor(&mut key)?, asked.rp_id)?)),
        _ => Err(wrong("its id is another one")),
    }
}

/// Whether a device signed what it was asked, with a key. Fails with words for the person.
pub(crate) fn check_signed(asked: Challenge<'_>, credential: &Value, key: &Key) -> Result<(), String> {
    // The host that the key was made for counts, and not the one that a request names.
    let client = check_client(asked, credential, "webauthn.get", &key.rp_id)?;
    let data = part(credential, "authenticatorData")?;
    check_device(&data, &key.rp_id, asked.verifies_user)?;
    let signed = [&*data, digest(&SHA256, &client).as_ref()].concat();
    let signature = part(credential, "signature")?;
    match key.verifies(&signed, &signature) {
        true => Ok(()),
        false => Err(wrong("its signature is not that of the key")),
    }
}

impl Key {
    fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        let parts: Vec<Vec<u8>> = self.parts.iter().filter_map(|part| URL_SAFE_NO_PAD.decode(part).ok()).collect();
        match (self.algorithm, parts.as_slice()) {
            (ES256, [point]) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, point).verify(signed, signature).is_ok()
            }
            (EDDSA, [point]) => UnparsedPublicKey::new(&signature::ED25519, point).verify(signed, signature).is_ok(),
            (RS256, [n, e]) => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, signed, signature).is_ok()
            }
            _ => false,
        }
    }
}

/// A COSE key.
fn read_key(key: &Cbor, rp_id: &str) -> Result<Key, String> {
    let number =
        |name: i64| entry(key, &Cbor::from(name)).and_then(Cbor::as_integer).and_then(|n| i64::try_from(n).ok());
    let bytes = |name: i64| entry(key, &Cbor::from(name)).and_then(Cbor::as_bytes).map(Vec::as_slice);
    let odd = || wrong("its key is of a kind that is not known here");
    let algorithm = number(3).ok_or_else(odd)?;
    let parts = match (algorithm, number(1), number(-1)) {
        (ES256, Some(2), Some(1)) => match (bytes(-2), bytes(-3)) {
            (Some(x), Some(y)) if x.len() == 32 && y.len() == 32 => vec![[&[4], x, y].concat()],
            _ => return Err(odd()),
        },
        (EDDSA, Some(1), Some(6)) => match bytes(-2) {
            Some(x) if x.len() == 32 => vec![x.to_vec()],
            _ => return Err(odd()),
        },
        (RS256, Some(3), _) => match (bytes(-1), bytes(-2)) {
            (Some(n), Some(e)) => vec![n.to_vec(), e.to_vec()],
            _ => return Err(odd()),
        },
        _ => return Err(odd()),
    };
    let parts = parts.iter().map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
    Ok(Key { rp_id: rp_id.to_owned(), algorithm, parts })
}

/// What the browser says of the page that asked. Returns it as it was signed.
fn check_client(asked: Challenge<'_>, credential: &Value, kind: &str, rp_id: &str) -> Result<Vec<u8>, String> {
    #[derive(Deserialize)]
    struct Client {
        #[serde(rename = "type")]
        kind: String,
        challenge: String,
        origin: String,
        #[serde(default, rename = "crossOrigin")]
        cross_origin: bool,
    }
    let bytes = part(credential, "clientDataJSON")?;
    let client: Client = serde_json::from_slice(&bytes).map_err(|_| wrong("what the browser says is no JSON"))?;
    let is_asked = client.kind == kind && client.challenge == asked.challenge;
    let (scheme, authority) = client.origin.split_once("://").unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, port)| match port.parse::<u16>() {
        Ok(_) => host,
        Err(_) => authority,
    });
    let is_ours = host == rp_id && (scheme == "https" || (scheme == "http" && host == "localhost"));
    match (is_asked, is_ours && !client.cross_origin) {
        (true, true) => Ok(bytes),
        (false, _) => Err(wrong("it answers another question")),
        (_, false) => Err(wrong("it was made for a page of another origin")),
    }
}

/// What the device says of itself. Returns what comes behind its first parts.
fn check_device<'a>(data: &'a [u8], rp_id: &str, verifies_user: bool) -> Result<&'a [u8], String> {
    let (head, rest) = data.split_at_checked(37).ok_or_else(|| wrong("its data is cut off"))?;
    let needed = USER_PRESENT | if verifies_user { USER_VERIFIED } else { 0 };
    match (head[..32] == *digest(&SHA256, rp_id.as_bytes()).as_ref(), head[32] & needed == needed) {
        (true, true) => Ok(rest),
        (false, _) => Err(wrong("it was made for another host")),
        (_, false) => Err(wrong("the device did not make sure who its owner is")),
    }
}

/// A part of the device's answer.
fn part(credential: &Value, name: &str) -> Result<Vec<u8>, String> {
    let text = credential["response"][name].as_str().filter(|text| text.len() <= PART_BYTES_MAX);
    let text = text.map(|text| text.trim_end_matches('='));
    text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        .ok_or_else(|| wrong(&format!("{name} is missing, or no Base64")))
}

fn read_cbor(bytes: &mut &[u8]) -> Result<Cbor, String> {
    ciborium::de::from_reader_with_recursion_limit(bytes, 8).map_err(|_| wrong("a part of it is no CBOR"))
}

fn entry<'a>(map: &'a Cbor, name: &Cbor) -> Option<&'a Cbor> {
    map.as_map()?.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

fn wrong(why: &str) -> String {
    format!("the passkey's answer cannot be taken: {why}")
}

#[cfg(test)]
pub(crate) mod device {
    //! A device with a passkey, in software.

    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

    use super::*;

    pub(crate) enum Secret {
        Es256(EcdsaKeyPair),
        Eddsa(Ed25519KeyPair),
    }

    /// What a device does, or a forger.
    pub(crate) struct Device {
        pub(crate) secret: Secret,
        pub(crate) rp_id: String,
        pub(crate) origin: String,
        pub(crate) flags: u8,
        pub(crate) cross_origin: bool,
    }

    pub(crate) const ID: &str = "aWQ";

    impl Device {
        pub(crate) fn new(is_eddsa: bool, host: &str) -> Self {
            let rng = SystemRandom::new();
            let secret = if is_eddsa {
                let bytes = Ed25519KeyPair::generate_pkcs8(&rng).unwrap();
                Secret::Eddsa(Ed25519KeyPair::from_pkcs8(bytes.as_ref()).unwrap())
            } else {
                let kind = &ECDSA_P256_SHA256_ASN1_SIGNING;
                let bytes = EcdsaKeyPair::generate_pkcs8(kind, &rng).unwrap();
                Secret::Es256(EcdsaKeyPair::from_pkcs8(kind, bytes.as_ref(), &rng).unwrap())
            };
            let flags = USER_PRESENT | USER_VERIFIED;
            Self { secret, rp_id: host.into(), origin: format!("https://{host}"), flags, cross_origin: false }
        }

        fn client(&self, kind: &str, challenge: &str) -> Vec<u8> {
            let client = json!({
                "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": self.cross_origin,
            });
            client.to_string().into_bytes()
        }

        fn data(&self, flags: u8) -> Vec<u8> {
            [digest(&SHA256, self.rp_id.as_bytes()).as_ref(), &[flags], &[0; 4]].concat()
        }

        pub(crate) fn create(&self, challenge: &str) -> Value {
            let int = |n: i64| Cbor::from(n);
            let key = match &self.secret {
                Secret::Es256(pair) => {
                    let point = pair.public_key().as_ref();
                    vec![
                        (int(1), int(2)),
                        (int(3), int(ES256)),
                        (int(-1), int(1)),
                        (int(-2), Cbor::Bytes(point[1..33].to_vec())),
                        (int(-3), Cbor::Bytes(point[33..].to_vec())),
                    ]
                }
                Secret::Eddsa(pair) => vec![
                    (int(1), int(1)),
                    (int(3), int(EDDSA)),
                    (int(-1), int(6)),
                    (int(-2), Cbor::Bytes(pair.public_key().as_ref().to_vec())),
                ],
            };
            let mut cbor = vec![];
            ciborium::into_writer(&Cbor::Map(key), &mut cbor).unwrap();
            let data = [self.data(self.flags | HAS_KEY), vec![0; 16], vec![0, 2], b"id".to_vec(), cbor].concat();
            let text = |text: &str| Cbor::Text(text.into());
            let attestation = Cbor::Map(vec![
                (text("fmt"), text("none")),
                (text("attStmt"), Cbor::Map(vec![])),
                (text("authData"), Cbor::Bytes(data)),
            ]);
            let mut object = vec![];
            ciborium::into_writer(&attestation, &mut object).unwrap();
            let client = self.client("webauthn.create", challenge);
            json!({
                "id": ID, "rawId": ID, "type": "public-key",
                "response": {
                    "clientDataJSON": URL_SAFE_NO_PAD.encode(client),
                    "attestationObject": URL_SAFE_NO_PAD.encode(object),
                },
            })
        }

        pub(crate) fn sign(&self, challenge: &str) -> Value {
            let (client, data) = (self.client("webauthn.get", challenge), self.data(self.flags));
            let signed = [&*data, digest(&SHA256, &client).as_ref()].concat();
            let signature = match &self.secret {
                Secret::Es256(pair) => pair.sign(&SystemRandom::new(), &signed).unwrap().as_ref().to_vec(),
                Secret::Eddsa(pair) => pair.sign(&signed).as_ref().to_vec(),
            };
            json!({
                "id": ID, "rawId": ID, "type": "public-key",
                "response": {
                    "clientDataJSON": URL_SAFE_NO_PAD.encode(client),
                    "authenticatorData": URL_SAFE_NO_PAD.encode(data),
                    "signature": URL_SAFE_NO_PAD.encode(signature),
                },
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::device::Device;
    use super::*;

    const ASKED: Challenge<'static> =
        Challenge { challenge: "Y2hhbGxlbmdl", rp_id: "dewpond.example", verifies_user: true };

    #[test]
    fn a_key_that_was_made_here_signs_here() {
        for is_eddsa in [false, true] {
            let device = Device::new(is_eddsa, ASKED.rp_id);
            let (id, key) = created(ASKED, &device.create(ASKED.challenge)).unwrap();
            assert_eq!(id, device::ID);
            assert_eq!(check_signed(ASKED, &device.sign(ASKED.challenge), &key), Ok(()));
            // It is kept as JSON.
            let kept: Key = serde_json::from_value(serde_json::to_value(&key).unwrap()).unwrap();
            assert_eq!(check_signed(ASKED, &device.sign(ASKED.challenge), &kept), Ok(()));
        }
    }

    #[test]
    fn what_a_forger_sends_is_refused() {
        let device = Device::new(false, ASKED.rp_id);
        let (_, key) = created(ASKED, &device.create(ASKED.challenge)).unwrap();
        let with = |change: &dyn Fn(&mut Device)| {
            let mut device = Device::new(false, ASKED.rp_id);
            change(&mut device);
            device
        };
        for (forger, words) in [
            (with(&|_| {}), "signature"),
            (with(&|device| device.rp_id = "evil.example".into()), "another host"),
            (with(&|device| device.origin = "https://evil.example".into()), "another origin"),
            (with(&|device| device.origin = "https://sub.dewpond.example".into()), "another origin"),
            (with(&|device| device.origin = "http://dewpond.example".into()), "another origin"),
            (with(&|device| device.cross_origin = true), "another origin"),
            (with(&|device| device.flags = USER_PRESENT), "who its owner is"),
            (with(&|device| device.flags = USER_VERIFIED), "who its owner is"),
        ] {
            let refused = check_signed(ASKED, &forger.sign(ASKED.challenge), &key).unwrap_err();
            assert!(refused.contains(words), "{words}: {refused}");
        }
        let mine = device.sign(ASKED.challenge);
        assert!(check_signed(ASKED, &device.sign("b3RoZXI"), &key).unwrap_err().contains("another question"));
        // A page that passes on what was signed for another host: the key's own host counts.
        let passed_on = Challenge { rp_id: "evil.example", ..ASKED };
        assert_eq!(check_signed(passed_on, &mine, &key), Ok(()));
        let theirs = Device::new(false, "evil.example").sign(ASKED.challenge);
        assert!(check_signed(passed_on, &theirs, &key).is_err());
        assert!(created(ASKED, &mine).is_err() && check_signed(ASKED, &device.create(ASKED.challenge), &key).is_err());
        for part in ["clientDataJSON", "authenticatorData", "signature"] {
            for value in [json!(null), json!(""), json!("!"), json!("AAAA"), json!("x".repeat(100_000))] {
                let mut broken = mine.clone();
                broken["response"][part] = value;
                assert!(check_signed(ASKED, &broken, &key).is_err(), "{part}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_of_a_device_are_more_than_refused(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let device = Device::new(false, ASKED.rp_id);
            let mut credential = device.create(ASKED.challenge);
            credential["response"]["attestationObject"] = URL_SAFE_NO_PAD.encode(&bytes).into();
            proptest::prop_assert!(created(ASKED, &credential).is_err());
        }
    }
}
