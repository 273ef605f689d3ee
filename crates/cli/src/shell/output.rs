//! What a command answers, for people and for scripts.

use serde_json::{Map, Value, json};
use wire::Stat;

use super::bytes;

/// The answer of one command.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// For people: whole lines, or nothing.
    pub(crate) text: String,
    /// For scripts: the fields of the object.
    pub(crate) json: Map<String, Value>,
}

impl Output {
    /// Adds a field of the object.
    pub(crate) fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.json.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a line of text.
    pub(crate) fn line(mut self, line: impl AsRef<str>) -> Self {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
        self
    }

    /// Adds a `Stat` in both forms.
    pub(crate) fn stat(mut self, stat: &Stat, style: Style) -> Self {
        self.text.push_str(&stat_lines(stat, style));
        self.field("stat", stat_json(stat))
    }

    /// Adds the field `stat` without a line of text.
    pub(crate) fn stat_field(self, stat: &Stat) -> Self {
        self.field("stat", stat_json(stat))
    }

    /// Adds `data` as the fields `data` and `encoding`.
    pub(crate) fn data_field(self, data: Option<&[u8]>, base64: bool) -> Self {
        let (text, encoding) = match data.map(std::str::from_utf8) {
            None => return self.field("data", Value::Null).field("encoding", "utf8"),
            Some(Ok(text)) if !base64 => (text.to_owned(), "utf8"),
            Some(_) => (bytes::base64(data.unwrap_or_default()), "base64"),
        };
        self.field("data", text).field("encoding", encoding)
    }
}

/// Colours, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    /// Whether the output is a terminal that has them.
    pub(crate) colours: bool,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Names of fields.
    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Paths and names of znodes.
    pub(crate) fn path(self, text: &str) -> String {
        self.paint("34", text)
    }

    /// Names of commands.
    pub(crate) fn command(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// What failed.
    pub(crate) fn error(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// Notices.
    pub(crate) fn event(self, text: &str) -> String {
        self.paint("33", text)
    }
}

/// Names as zkCli lists them.
pub(crate) fn list(names: &[String], style: Style) -> String {
    let painted: Vec<String> = names.iter().map(|name| style.path(name)).collect();
    format!("[{}]", painted.join(", "))
}

fn stat_lines(stat: &Stat, style: Style) -> String {
    let mut out = String::new();
    for (name, value) in [
        ("cZxid", format!("0x{:x}", stat.czxid)),
        ("ctime", date(stat.ctime)),
        ("mZxid", format!("0x{:x}", stat.mzxid)),
        ("mtime", date(stat.mtime)),
        ("pZxid", format!("0x{:x}", stat.pzxid)),
        ("cversion", stat.cversion.to_string()),
        ("dataVersion", stat.version.to_string()),
        ("aclVersion", stat.aversion.to_string()),
        ("ephemeralOwner", format!("0x{:x}", stat.ephemeral_owner)),
        ("dataLength", stat.data_length.to_string()),
        ("numChildren", stat.num_children.to_string()),
    ] {
        out.push_str(&style.dim(&format!("{name} = ")));
        out.push_str(&value);
        out.push('\n');
    }
    out
}

fn stat_json(stat: &Stat) -> Value {
    json!({
        "czxid": stat.czxid, "mzxid": stat.mzxid, "pzxid": stat.pzxid,
        "ctime": stat.ctime, "mtime": stat.mtime,
        "version": stat.version, "cversion": stat.cversion, "aversion": stat.aversion,
        "ephemeralOwner": stat.ephemeral_owner,
        "dataLength": stat.data_length, "numChildren": stat.num_children,
    })
}

const DAY_MS: i64 = 86_400_000;

/// Milliseconds since 1970 as Java prints a date, in UTC: users in different places see the same.
fn date(time_ms: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, seconds) = (time_ms.div_euclid(DAY_MS), time_ms.rem_euclid(DAY_MS) / 1_000);
    // The calendar repeats after 400 years, which are 146,097 days; years start in March here, so
    // that the leap day is the last of its year.
    let from_march_0000 = days + 719_468;
    let (era, day_of_era) = (from_march_0000.div_euclid(146_097), from_march_0000.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = era * 400 + year_of_era + i64::from(month < 2);
    format!(
        "{} {} {day:02} {:02}:{:02}:{:02} UTC {year}",
        DAYS[days.rem_euclid(7) as usize],
        MONTHS[month as usize],
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { colours: false };

    #[test]
    fn a_stat_reads_as_in_zkcli() {
        let stat = Stat {
            czxid: 0x1_0000_0002,
            mzxid: 3,
            ctime: 0,
            mtime: 1_709_208_245_678,
            version: 1,
            cversion: 2,
            aversion: 3,
            ephemeral_owner: 0x1a,
            data_length: 4,
            num_children: 5,
            pzxid: 6,
        };
        let expected = "cZxid = 0x100000002\nctime = Thu Jan 01 00:00:00 UTC 1970\nmZxid = 0x3\n\
             mtime = Thu Feb 29 12:04:05 UTC 2024\npZxid = 0x6\ncversion = 2\ndataVersion = 1\naclVersion = 3\n\
             ephemeralOwner = 0x1a\ndataLength = 4\nnumChildren = 5\n";
        assert_eq!(stat_lines(&stat, PLAIN), expected);
        assert!(stat_lines(&stat, Style { colours: true }).contains('\x1b'));
    }

    #[test]
    fn dates_at_the_edges_of_years() {
        for (time_ms, expected) in [
            (-1, "Wed Dec 31 23:59:59 UTC 1969"),
            (951_782_400_000, "Tue Feb 29 00:00:00 UTC 2000"),
            (4_107_542_400_000, "Mon Mar 01 00:00:00 UTC 2100"),
            (1_798_761_599_000, "Thu Dec 31 23:59:59 UTC 2026"),
        ] {
            assert_eq!(date(time_ms), expected);
        }
    }

    #[test]
    fn data_in_json_say_how_they_are_encoded() {
        let fields = |data, base64| Output::default().data_field(data, base64).json;
        assert_eq!(fields(Some(b"x"), false)["data"], "x");
        assert_eq!(fields(Some(b"\xff"), false)["encoding"], "base64");
        assert_eq!(fields(Some(b"x"), true)["data"], "eA==");
        assert_eq!(fields(None, false)["data"], Value::Null);
    }
}
