//! Times as text, in UTC.

/// A point in time, in its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date {
    year: i64,
    month: usize,
    day: i64,
    weekday: usize,
    second_of_day: i64,
}

impl Date {
    /// The date of a time in ms since 1970.
    pub(crate) fn of_ms(ms: i64) -> Date {
        let seconds = ms.div_euclid(1_000);
        let days = seconds.div_euclid(86_400);
        // Counting from 1 March of year 0 puts the leap day at the end of a year, so that months
        // have fixed beginnings (Hinnant, "chrono-compatible low-level date algorithms").
        let from_march = days + 719_468;
        let era = from_march.div_euclid(146_097);
        let day_of_era = from_march.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = (month_from_march + 2) % 12;
        Date {
            year: era * 400 + year_of_era + i64::from(month < 2),
            month: month as usize,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            weekday: (days + 4).rem_euclid(7) as usize,
            second_of_day: seconds.rem_euclid(86_400),
        }
    }

    /// As `java.util.Date` prints it: `Mon Nov 23 04:35:41 UTC 2026`.
    pub(crate) fn java(&self) -> String {
        const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let Date { year, month, day, weekday, second_of_day } = *self;
        let (hour, minute, second) = (second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60);
        format!(
            "{} {} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year}",
            WEEKDAYS[weekday], MONTHS[month]
        )
    }

    /// As logs have it: `2026-11-23 04:35:41`, with another character `between` date and time.
    pub(crate) fn second(&self, between: char) -> String {
        let Date { year, month, day, second_of_day, .. } = *self;
        let (hour, minute, second) = (second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60);
        format!("{year:04}-{:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}", month + 1)
    }

    /// As the build date in a version: `2026-02-11 20:18 UTC`.
    pub(crate) fn minute(&self) -> String {
        let Date { year, month, day, second_of_day, .. } = *self;
        let (hour, minute) = (second_of_day / 3_600, second_of_day / 60 % 60);
        format!("{year:04}-{:02}-{day:02} {hour:02}:{minute:02} UTC", month + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::Date;

    /// Printed by `new java.util.Date(ms)` in UTC.
    #[test]
    fn dates_are_those_of_java() {
        for (ms, expected) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (1_795_408_541_999, "Mon Nov 23 04:35:41 UTC 2026"),
            (1_709_164_800_000, "Thu Feb 29 00:00:00 UTC 2024"),
            (951_868_799_000, "Tue Feb 29 23:59:59 UTC 2000"),
            (4_107_542_400_000, "Mon Mar 01 00:00:00 UTC 2100"),
            (-1, "Wed Dec 31 23:59:59 UTC 1969"),
        ] {
            assert_eq!(Date::of_ms(ms).java(), expected, "{ms}");
        }
        assert_eq!(Date::of_ms(1_795_408_541_999).second('T'), "2026-11-23T04:35:41");
        assert_eq!(Date::of_ms(1_795_408_541_999).minute(), "2026-11-23 04:35 UTC");
    }
}
