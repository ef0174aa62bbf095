//! The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677): a client shows that it has a key without sending it, and the
//! server that it knows the key without having it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use lake::ScramVerifier;
use sha2::{Digest, Sha256};

/// The one mechanism on offer.
pub(crate) const MECHANISM: &str = "SCRAM-SHA-256";

/// Why an exchange ended.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScramError {
    /// The client does not have the key.
    #[error("the proof is wrong")]
    Denied,
    /// The client says something else than the mechanism has it say.
    #[error("{0}")]
    Invalid(&'static str),
}

/// An exchange of which the client has the server's first message.
pub(crate) struct Exchange {
    verifier: ScramVerifier,
    /// What the client said of channel binding, as it has to repeat it.
    binding: String,
    nonce: String,
    /// The messages that are signed, up to the client's last.
    signed: String,
}

impl Exchange {
    /// Answers the client's first message. Returns the answer with the exchange.
    ///
    /// - `own_nonce`: random characters that were never used before, without a comma.
    pub(crate) fn begin(first: &[u8], verifier: ScramVerifier, own_nonce: &str) -> Result<(Self, String), ScramError> {
        let first = std::str::from_utf8(first).map_err(|_| ScramError::Invalid("the message is not UTF-8"))?;
        let mut fields = first.splitn(3, ',');
        let (Some(flag), Some(identity), Some(bare)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(ScramError::Invalid("the first message has too few fields"));
        };
        // "y" is a client that could bind and was told that the server cannot, which is so.
        if !matches!(flag, "n" | "y") {
            return Err(ScramError::Invalid("channel binding is not offered"));
        }
        if bare.starts_with("m=") {
            return Err(ScramError::Invalid("an extension that must be understood is not"));
        }
        let theirs = bare.split(',').find_map(|field| field.strip_prefix("r="));
        let Some(theirs) = theirs.filter(|nonce| !nonce.is_empty()) else {
            return Err(ScramError::Invalid("the first message has no nonce"));
        };
        let nonce = format!("{theirs}{own_nonce}");
        let salt = STANDARD.encode(verifier.salt.as_bytes());
        let answer = format!("r={nonce},s={salt},i={}", verifier.iterations);
        let signed = format!("{bare},{answer}");
        Ok((Self { verifier, binding: format!("{flag},{identity},"), nonce, signed }, answer))
    }

    /// Checks the client's last message. Returns the answer that shows the client who the server is.
    pub(crate) fn finish(self, last: &[u8]) -> Result<String, ScramError> {
        let last = std::str::from_utf8(last).map_err(|_| ScramError::Invalid("the message is not UTF-8"))?;
        let Some((unproved, proof)) = last.rsplit_once(",p=") else {
            return Err(ScramError::Invalid("the last message has no proof"));
        };
        let mut fields = unproved.split(',');
        if fields.next() != Some(&format!("c={}", STANDARD.encode(&self.binding))) {
            return Err(ScramError::Invalid("the last message names another channel binding than the first"));
        }
        if fields.next() != Some(&format!("r={}", self.nonce)) {
            return Err(ScramError::Invalid("the last message has another nonce than the first"));
        }
        let proof = STANDARD.decode(proof).ok().and_then(|proof| <[u8; 32]>::try_from(proof).ok());
        let Some(proof) = proof else { return Err(ScramError::Invalid("the proof is not 32 bytes in base64")) };
        let message = format!("{},{unproved}", self.signed);
        let signature = hmac(&self.verifier.stored_key, &message).finalize().into_bytes();
        let client_key: Vec<u8> = proof.iter().zip(signature).map(|(proof, byte)| proof ^ byte).collect();
        let stored_key: [u8; 32] = Sha256::digest(client_key).into();
        if !equal(&stored_key, &self.verifier.stored_key) {
            return Err(ScramError::Denied);
        }
        let signature = hmac(&self.verifier.server_key, &message).finalize().into_bytes();
        Ok(format!("v={}", STANDARD.encode(signature)))
    }
}

fn hmac(key: &[u8], message: &str) -> Hmac<Sha256> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    hmac.update(message.as_bytes());
    hmac
}

/// Whether two keys are equal, in a time that does not tell where they differ.
fn equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().zip(b).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// The exchange that RFC 7677 shows, of the user `user` with the password `pencil`.
    fn begin(first: &str) -> Result<(Exchange, String), ScramError> {
        let salt = Uuid::from_u128(0x5b6d_9968_9d12_358e_eca0_4b14_1236_fa81);
        Exchange::begin(first.as_bytes(), ScramVerifier::new("pencil", salt), "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    }

    const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const LAST: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

    fn finish(last: &str) -> Result<String, ScramError> {
        begin(FIRST).unwrap().0.finish(last.as_bytes())
    }

    #[test]
    fn the_exchange_of_the_standard_comes_out() {
        let answer = begin(FIRST).unwrap().1;
        assert_eq!(answer, "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let last = format!("{LAST},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        assert_eq!(finish(&last), Ok("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".into()));
    }

    #[test]
    fn a_wrong_proof_is_denied() {
        let last = format!("{LAST},p=eHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        assert_eq!(finish(&last), Err(ScramError::Denied));
    }

    #[test]
    fn an_exchange_that_is_bent_is_refused() {
        let proof = "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        for last in [
            String::new(),
            LAST.to_owned(),
            format!("{LAST},p="),
            format!("{LAST},p=AAAA"),
            format!("c=biws,r=rOprNGfwEbeRWgbNEkqO,{proof}"),
            format!("{},{proof}", LAST.replace("biws", "eSws")),
        ] {
            assert!(matches!(finish(&last), Err(ScramError::Invalid(_))), "{last}");
        }
        for first in ["", "n,,", "n,,n=user", "n,,n=user,r=", "p=tls-unique,,n=user,r=a", "n,,m=x,n=user,r=a"] {
            assert!(matches!(begin(first), Err(ScramError::Invalid(_))), "{first}");
        }
    }
}
