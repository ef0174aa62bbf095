//! Operating systems and their versions.

/// The system and its version.
pub(super) fn read(user_agent: &str) -> (Option<&'static str>, Option<String>) {
    let has = |text: &str| user_agent.contains(text);
    let after = |text: &str| version_after(user_agent, text);
    if has("Windows Phone") {
        return (Some("Windows Phone"), after("Windows Phone OS ").or_else(|| after("Windows Phone ")));
    }
    if has("Windows") || has("Win98") || has("Win95") || has("WinNT") {
        return (Some("Windows"), windows_version(user_agent));
    }
    if has("Apple Watch") || has("watchOS") {
        return (Some("watchOS"), after("watchOS/").or_else(|| after("watchOS ")).or_else(|| after("Watch OS ")));
    }
    if has("AppleTV") || has("Apple TV") || has("tvOS") {
        return (Some("tvOS"), after("tvOS/").or_else(|| after("tvOS ")).or_else(|| after("CPU OS ")));
    }
    if has("iPhone") || has("iPad") || has("iPod") || has("like Mac OS X") {
        let version = ["iPhone OS ", "CPU OS ", "iOS/", "iOS ", "iPadOS ", "iPhone/iOS "];
        return (Some("iOS"), version.iter().find_map(|text| after(text)));
    }
    if has("HarmonyOS") || has("OpenHarmony") {
        return (Some("HarmonyOS"), after("OpenHarmony ").or_else(|| after("HarmonyOS ")));
    }
    if has("KAIOS") {
        return (Some("KaiOS"), after("KAIOS/"));
    }
    if has("Tizen") {
        return (Some("Tizen"), after("Tizen ").or_else(|| after("Tizen/")));
    }
    if has("Web0S") || has("webOS") || has("hpwOS") {
        return (Some("webOS"), after("webOS/").or_else(|| after("hpwOS/")).or_else(|| after("WEBOS")));
    }
    if has("CrOS") {
        return (
            Some("Chrome OS"),
            user_agent.split_once("CrOS ").and_then(|(_, rest)| leading_version(rest.split_once(' ')?.1)),
        );
    }
    if has("PlayStation") || has("PLAYSTATION") {
        let models = [
            "PlayStation 5 ",
            "PlayStation 5/",
            "PlayStation 4 ",
            "PlayStation 4/",
            "PLAYSTATION 3 ",
            "PlayStation Vita ",
        ];
        return (Some("PlayStation"), models.iter().find_map(|text| after(text)));
    }
    if has("Nintendo") {
        return (Some("Nintendo"), None);
    }
    if has("Roku") {
        return (Some("Roku OS"), after("Roku/DVP-"));
    }
    if has("Android") || has("Adr ") {
        return (
            Some("Android"),
            after("Android ").or_else(|| after("Android/")).or_else(|| after("Android-")).or_else(|| after("Adr ")),
        );
    }
    let is_mac_app = has("Darwin/") && (has("x86_64") || has("i386") || has("(Mac"));
    if has("Mac OS") || has("Macintosh") || has("Mac_PowerPC") || has("macOS") || is_mac_app {
        return (
            Some("macOS"),
            after("Mac OS X ").or_else(|| after("Mac OS/")).or_else(|| after("macOS/")).or_else(|| after("macOS ")),
        );
    }
    for (text, name) in [
        ("BlackBerry", "BlackBerry"),
        ("BB10", "BlackBerry"),
        ("Symbian", "Symbian"),
        ("Series60", "Symbian"),
        ("Fuchsia", "Fuchsia"),
        ("FreeBSD", "FreeBSD"),
        ("OpenBSD", "OpenBSD"),
        ("NetBSD", "NetBSD"),
        ("SunOS", "Solaris"),
        ("Haiku", "Haiku"),
        ("Linux", "Linux"),
        ("Ubuntu", "Linux"),
        ("X11", "Linux"),
    ] {
        if has(text) {
            return (Some(name), None);
        }
    }
    (None, None)
}

/// The version by which people call a Windows. Agents of Windows 11 say 10; a client hint tells them apart.
fn windows_version(user_agent: &str) -> Option<String> {
    let called = |version: &str| {
        let name = match version {
            "10.0" | "6.4" => "10",
            "6.3" => "8.1",
            "6.2" => "8",
            "6.1" => "7",
            "6.0" => "Vista",
            "5.2" | "5.1" => "XP",
            "5.0" => "2000",
            _ => return None,
        };
        Some(name.to_owned())
    };
    if let Some(version) = version_after(user_agent, "Windows NT ") {
        return called(&version).or(Some(version));
    }
    let names =
        [("Windows XP", "XP"), ("Windows 98", "98"), ("Win98", "98"), ("Windows 95", "95"), ("Windows CE", "CE")];
    let named = names.iter().find(|(text, _)| user_agent.contains(text)).map(|(_, name)| (*name).to_owned());
    named.or_else(|| version_after(user_agent, "Windows "))
}

/// The version that follows a text, with dots whatever the agent has between its numbers.
pub(super) fn version_after(user_agent: &str, text: &str) -> Option<String> {
    leading_version(user_agent.split_once(text)?.1)
}

fn leading_version(text: &str) -> Option<String> {
    let end = text.find(|letter: char| !(letter.is_ascii_digit() || matches!(letter, '.' | '_'))).unwrap_or(text.len());
    let version = text[..end].trim_end_matches(['.', '_']).replace('_', ".");
    version.starts_with(|letter: char| letter.is_ascii_digit()).then_some(version)
}
