//! Kinds of devices.

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

static TV: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"smart-?tv|smart_tv|hbbtv|googletv|google tv|apple ?tv|appletv|android ?tv|androidtv|tvos|crkey|chromecast|\baft[a-z]{1,6}\b|\bbravia|web0s|webos\.tv|netcast|nettv|\broku|vidaa|viera|opera tv|opr tv|opera/.*; (?:linux|u).*(?:tv|oipf)|\bce-html|\bpov_tv|mi ?tv|mibox|mitv|philipstv|philips tv|\btv\b|tv safari|tvbrowser|\bdtv|large screen|ihomehd|inettvbrowser|freebox|sonydtv|\bhisense|bangolufsen|toshibatp|technicolor_|tpm171e|\bstb\b|set-top|\bott\b|box\b.*\bbuild|aquos-?tv|aquosbrowser|maple|sraf|\bqm1\d|dlna|tcl-?tv|\btcl[_/;]|smart ?box|stableavb|[-_]led\d\d|\bshell [a-z]{2}\d{3}|lg browser|swisscom.*tv|\bkdl-|shield android",
    )
});

static CONSOLE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"playstation|xbox|nintendo|\bwii|\bouya\b|dreamcast|\bpsp\b|gamestation|steamdeck|\bps3\b|razer edge|switch oled|; switch(?: lite)?\)|; rg\d{3}[a-z]{0,2}\)|valve steam gameoverlay|archos gamepad|\bgamepad\b|retroid|jxd|\bgpd\b|\bshield\b",
    )
});

static WEARABLE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"watch|wear os|wearos|\bsm-r\d{3}|\bsm-l\d{3}|oculus|\bquest\b|\bpico \w|google glass|\bglass \d|smart glasses|\bvr\b|\bfitbit|\bw(?:f|h)1\d\b|wearable|moto 360|gear live|kidphone|\bow\d\dw\d|\blem\d{1,2}(?:pro|t)?\b|\bthor (?:\d|s\b|pro\b)",
    )
});

static CAR: LazyLock<Regex> = LazyLock::new(|| pattern(r"tesla/|qtcarbrowser|automotive|\bcarplay"));

/// Computers whose system lets Android apps run, or that somebody put Android on.
static LAPTOP: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"chromebook|netbook|inspiron|travelmate|\baspire |satellite |\blatitude \d|lifebook|\bnuc\d")
});

static TABLET: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"ipad|tablet|kindle|playbook|\bkf[a-z]{2,5}\b|hp-tablet|touchpad|nexus (?:7|9|10)\b|\bsm-[tpx]\d{3}|\bgt-[pn][15]\d{3}|\bpad\b",
    )
});

static MOBILE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"mobile|iphone|ipod|android|windows phone|windows ce|blackberry|bb10|symbian|series ?[46]0|opera mini|kaios|midp|up\.browser|nokia|iemobile|palm|\bwap\b|maemo|meego|fennec|samsung-|sonyericsson|\blg-|docomo|kddi|ucweb",
    )
});

/// The kind of device.
pub(super) fn read(user_agent: &str, os: Option<&str>) -> Option<&'static str> {
    let is = |kind: &Regex| kind.is_match(user_agent.as_bytes());
    if is(&WEARABLE) {
        Some("wearable")
    } else if user_agent.contains("PlayStation") {
        Some("console")
    } else if is(&TV) && !user_agent.contains("Windows NT") || matches!(os, Some("tvOS" | "Roku OS")) {
        Some("tv")
    } else if is(&CONSOLE) {
        Some("console")
    } else if is(&CAR) {
        Some("car")
    } else if os == Some("Android") && is(&LAPTOP) {
        Some("desktop")
    } else if is(&TABLET) && os != Some("Windows") || is_android_without_mobile(user_agent, os) {
        Some("tablet")
    } else if is(&MOBILE) && !user_agent.contains("Windows NT") || matches!(os, Some("iOS" | "KaiOS")) {
        Some("mobile")
    } else {
        os.map(|_| "desktop")
    }
}

/// On Android, tablets leave "Mobile" out.
fn is_android_without_mobile(user_agent: &str, os: Option<&str>) -> bool {
    os == Some("Android")
        && user_agent.starts_with("Mozilla/")
        && !user_agent.contains("Mobile")
        && !user_agent.contains("Opera Mini")
}

fn pattern(text: &str) -> Regex {
    let mut pattern = RegexBuilder::new(text);
    pattern.case_insensitive(true).unicode(false);
    pattern.build().expect("the pattern of a device is valid")
}
