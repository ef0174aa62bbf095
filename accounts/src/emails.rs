//! E-mail addresses in the one form in which they are compared, and names of people and organisations. Pure.

const EMAIL_BYTES_MAX: usize = 254;
const NAME_CHARACTERS_MAX: usize = 100;

/// The form in which an address is compared, or why it is none, in words for whoever wrote it.
///
/// People write their address in capitals on one day and not on the next, and no provider in use tells these apart.
pub fn email(text: &str) -> Result<String, String> {
    let form = text.trim().to_lowercase();
    let is_odd = |char: char| char.is_whitespace() || char.is_control() || "<>(),;:\\\"[]".contains(char);
    let (local, domain) = form.split_once('@').unwrap_or_default();
    let is_address = !local.is_empty() && !domain.is_empty() && !domain.contains('@') && !form.contains(is_odd);
    match is_address && form.len() <= EMAIL_BYTES_MAX {
        true => Ok(form),
        false => Err("that is no e-mail address: write it as in ada@example.com".to_owned()),
    }
}

/// A name that people can read, or why it is none.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let name = text.trim();
    match name.chars().count() {
        1..=NAME_CHARACTERS_MAX if !name.contains(char::is_control) => Ok(name.to_owned()),
        _ => Err(format!("a name has 1 to {NAME_CHARACTERS_MAX} characters, on one line")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_one_form() {
        for (written, form) in [
            ("ada@example.com", Some("ada@example.com")),
            (" Ada@Example.COM ", Some("ada@example.com")),
            ("ada+shop@example.com", Some("ada+shop@example.com")),
            ("ada", None),
            ("@example.com", None),
            ("ada@", None),
            ("ada@b@c", None),
            ("a da@example.com", None),
            ("ada@example.com\nbcc: eve@example.com", None),
            ("Ada <ada@example.com>", None),
        ] {
            assert_eq!(email(written).ok().as_deref(), form, "{written:?}");
        }
        assert!(email(&format!("{}@example.com", "x".repeat(250))).is_err());
    }

    #[test]
    fn a_name_is_one_line() {
        assert_eq!(name(" Ada Lovelace "), Ok("Ada Lovelace".to_owned()));
        for refused in ["", "  ", "a\nb", &"x".repeat(101)] {
            assert!(name(refused).is_err(), "{refused:?}");
        }
    }
}
