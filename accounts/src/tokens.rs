//! The tokens that people and programs carry. Pure.
//!
//! A token of a sign-in says which it is, so that it is found without a list, and proves it by a secret, of which only the
//! hash is kept: `dpa_` (carried by requests) or `dpf_` (renews), subject, family, generation, secret.

/// How tokens begin that requests carry.
const ACCESS: &str = "dpa_";

/// How tokens begin that renew a sign-in.
const REFRESH: &str = "dpf_";

/// How tokens of invitations begin.
pub(crate) const INVITATION: &str = "dpi_";

/// How tokens of shares begin.
pub(crate) const SHARE: &str = "dps_";

const ID: usize = 32;
const GENERATION: usize = 8;
const SECRET: usize = 64;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Access,
    Refresh,
}

/// What a token says of itself, before anybody has looked whether it is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) subject: String,
    pub(crate) family: String,
    pub(crate) generation: u32,
}

impl Purpose {
    fn beginning(self) -> &'static str {
        match self {
            Self::Access => ACCESS,
            Self::Refresh => REFRESH,
        }
    }
}

impl Claim {
    /// The token of a secret of 64 hexadecimal digits.
    pub(crate) fn token(&self, purpose: Purpose, secret: &str) -> String {
        let Self { subject, family, generation } = self;
        format!("{}{subject}{family}{generation:08x}{secret}", purpose.beginning())
    }

    /// What a token says, if it has the form of one.
    pub(crate) fn read(token: &str, purpose: Purpose) -> Option<Self> {
        let digits = token.strip_prefix(purpose.beginning())?;
        if digits.len() != 2 * ID + GENERATION + SECRET || !digits.bytes().all(is_digit) {
            return None;
        }
        let generation = u32::from_str_radix(&digits[2 * ID..2 * ID + GENERATION], 16).ok()?;
        Some(Self { subject: digits[..ID].to_owned(), family: digits[ID..2 * ID].to_owned(), generation })
    }
}

/// Hexadecimal digits as we write them: one token has one form.
fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// Whether a text can be a token that requests of a person carry.
pub fn is_access_token(text: &str) -> bool {
    Claim::read(text, Purpose::Access).is_some()
}

/// Whether a text can be the token of a share.
pub fn is_share_token(text: &str) -> bool {
    text.strip_prefix(SHARE).is_some_and(|digits| digits.len() == SECRET && digits.bytes().all(is_digit))
}

/// What is kept of the token of a share.
pub fn share_hash(token: &str) -> String {
    hash(token)
}

/// What is kept of a token, in hexadecimal. Tokens are random, so a plain hash cannot be guessed back.
pub(crate) fn hash(token: &str) -> String {
    blake3::hash(token.as_bytes()).to_hex().to_string()
}

/// Whether a token has a hash. Takes as long for a guess that is nearly right as for any other.
pub(crate) fn has_hash(token: &str, kept: &str) -> bool {
    // Compared in constant time, by `blake3`.
    blake3::Hash::from_hex(kept).is_ok_and(|kept| kept == blake3::hash(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_which_it_is_and_nothing_else_is_one() {
        let claim = Claim { subject: "1".repeat(32), family: "a".repeat(32), generation: 300 };
        let token = claim.token(Purpose::Access, &"e".repeat(64));
        assert_eq!(Claim::read(&token, Purpose::Access), Some(claim));
        let hyphens = format!("dpa_{}", "-".repeat(136));
        let path = format!("dpa_{}{}", "../".repeat(45), "a");
        for other in ["", "dpa_", &token[..139], &format!("{token}0"), &token.to_uppercase(), &hyphens, &path] {
            assert_eq!(Claim::read(other, Purpose::Access), None, "{other}");
        }
        assert_eq!(Claim::read(&token, Purpose::Refresh), None, "a token of one purpose is none of the other");
        assert!(has_hash(&token, &hash(&token)) && !has_hash(&token, &hash("x")) && !has_hash(&token, ""));
    }
}
