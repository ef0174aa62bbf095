//! What a server needs to check a password by SCRAM-SHA-256 (RFC 5802, RFC 7677): the server never hears the password,
//! and what it keeps is not enough to log in anywhere.

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The fewest that RFC 7677 allows. More would keep slow guesses away, and nobody guesses 160 random bits.
const ITERATIONS: u32 = 4_096;

/// What a server keeps of a password to check it by SCRAM-SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScramVerifier {
    /// The salt that the client is told: sixteen random bytes.
    pub salt: Uuid,
    /// How often the client has to hash.
    pub iterations: u32,
    /// Shows that a client knows the password: the hash of its key.
    #[serde(with = "hexadecimal")]
    pub stored_key: [u8; 32],
    /// Signs what the server says.
    #[serde(with = "hexadecimal")]
    pub server_key: [u8; 32],
}

impl ScramVerifier {
    /// The verifier of an ASCII password, which needs no normalisation.
    pub fn new(password: &str, salt: Uuid) -> Self {
        let salted = salted_password(password.as_bytes(), salt.as_bytes(), ITERATIONS);
        let stored_key = Sha256::digest(hmac(&salted, b"Client Key")).into();
        Self { salt, iterations: ITERATIONS, stored_key, server_key: hmac(&salted, b"Server Key") }
    }
}

/// `Hi` of RFC 5802, which is the first block of PBKDF2.
fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
    let mut last = hmac(password, &[salt, &1_u32.to_be_bytes()].concat());
    let mut sum = last;
    for _ in 1..iterations {
        last = hmac(password, &last);
        sum.iter_mut().zip(last).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    hmac.update(message);
    hmac.finalize().into_bytes().into()
}

/// Thirty-two bytes as the registry writes them.
mod hexadecimal {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&blake3::Hash::from_bytes(*bytes).to_hex())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = blake3::Hash::from_hex(text).map_err(|_| D::Error::custom("it is not 64 hexadecimal digits"))?;
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange that RFC 7677 shows, of the user `user` with the password `pencil`.
    #[test]
    fn the_exchange_of_the_standard_comes_out() {
        let salt = Uuid::from_u128(0x5b6d_9968_9d12_358e_eca0_4b14_1236_fa81);
        let verifier = ScramVerifier::new("pencil", salt);
        let first_bare = "n=user,r=rOprNGfwEbeRWgbNEkqO";
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let first_of_server = format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let message = format!("{first_bare},{first_of_server},c=biws,r={nonce}");

        // p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=
        let proof = hex("747cdb65aa56224e2352137e52d7bdcad6a0f738df30782caa69a2cfb0277554");
        let signature = hmac(&verifier.stored_key, message.as_bytes());
        let client_key: Vec<u8> = proof.iter().zip(signature).map(|(proof, byte)| proof ^ byte).collect();
        assert_eq!(<[u8; 32]>::from(Sha256::digest(client_key)), verifier.stored_key);

        // v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=
        let signed = hex("eabae24d1062db75a9451ff0b6ea7e98c8546549ff741e672d3251b2397de46e");
        assert_eq!(hmac(&verifier.server_key, message.as_bytes()), signed);
    }

    fn hex(text: &str) -> [u8; 32] {
        blake3::Hash::from_hex(text).unwrap().into()
    }
}
