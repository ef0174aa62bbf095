//! Reads user agents from the standard input, one a line, and prints what each is: kind of robot, browser, its version,
//! app, system, its version, device, apart by tabs.
//!
//! With `sources` as its argument it reads sources of visits, and prints the channel of a campaign that names them and
//! of a page that was reached from them.

use std::io::{self, BufRead, BufWriter, Write};

use intake::{agent, channel_of};

fn main() -> io::Result<()> {
    let sources = std::env::args().nth(1).is_some_and(|what| what == "sources");
    let mut out = BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let line = line?;
        if sources {
            let channel = |url: &str, referrer: Option<&str>| channel_of(url, referrer).unwrap_or_default();
            let mut address = url::Url::parse("https://shop.invalid/").expect("a constant address is valid");
            address.query_pairs_mut().append_pair("utm_source", &line);
            let referred = channel("https://shop.invalid/", Some(&format!("https://{line}/")));
            writeln!(out, "{}\t{}", channel(address.as_str(), None), referred)?;
            continue;
        }
        let agent = agent::read(&line);
        let kind = agent.bot_kind.map_or("", |kind| kind.name());
        let texts =
            [&agent.browser, &agent.browser_version, &agent.browser_app, &agent.os, &agent.os_version, &agent.device];
        let texts = texts.map(|text| text.as_deref().unwrap_or_default());
        writeln!(out, "{kind}\t{}", texts.join("\t"))?;
    }
    out.flush()
}
