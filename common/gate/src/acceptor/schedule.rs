//! Looks at when a peer comes: on the days and between the hours that are listed, in UTC, or it does not pass; and no longer
//! than they last.

use super::{Given, Step, not_here};
use riser_model::Wall;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MINUTE_MS: i64 = 60_000;
const DAY_MINUTES: i64 = 24 * 60;
/// Hours that follow on each other are looked at up to here: all of a week, in pieces of half an hour.
const PIECES_MAX: usize = 7 * 48;
/// What goes on for so long goes on for ever: every week is like the last.
const WEEK_MS: i64 = 7 * DAY_MINUTES * MINUTE_MS;

/// Some hours of some days, UTC: `mon-fri 08:00-18:00`, `sun 22:00-24:00`. A range of days may wrap (`sat-mon`), hours may
/// not: write two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hours {
    first: u8,
    last: u8,
    from_minute: u16,
    until_minute: u16,
}

/// The hours at which one may pass.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schedule(pub Vec<Hours>);

/// A text that is not hours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotHours;

impl fmt::Display for NotHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not hours of days; want days and hours in UTC, such as \"mon-fri 08:00-18:00\"")
    }
}

impl FromStr for Hours {
    type Err = NotHours;

    fn from_str(text: &str) -> Result<Self, NotHours> {
        let (days, hours) = text.split_once(' ').ok_or(NotHours)?;
        let day = |name: &str| DAYS.iter().position(|day| *day == name).ok_or(NotHours);
        let (first, last) = days.split_once('-').unwrap_or((days, days));
        let (from, until) = hours.split_once('-').ok_or(NotHours)?;
        let (from_minute, until_minute) = (minute(from)?, minute(until)?);
        if from_minute >= until_minute {
            return Err(NotHours);
        }
        let day = |name| day(name).map(|place| u8::try_from(place).expect("a week has seven days"));
        Ok(Self { first: day(first)?, last: day(last)?, from_minute, until_minute })
    }
}

fn minute(text: &str) -> Result<u16, NotHours> {
    let (hour, minute) = text.split_once(':').ok_or(NotHours)?;
    let number = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse::<u16>().map_err(|_| NotHours) } else { Err(NotHours) }
    };
    match (number(hour)?, number(minute)?) {
        (24, 0) => Ok(24 * 60),
        (hour @ 0..24, minute @ 0..60) => Ok(hour * 60 + minute),
        _ => Err(NotHours),
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = |place: u8| DAYS.get(usize::from(place)).copied().unwrap_or_default();
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        write!(
            f,
            "{}-{} {}-{}",
            day(self.first),
            day(self.last),
            clock(self.from_minute),
            clock(self.until_minute)
        )
    }
}

impl Serialize for Hours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Hours {
    /// Whether a moment lies in them.
    pub fn hold(&self, wall: Wall) -> bool {
        let minutes = wall.0.div_euclid(MINUTE_MS);
        // The first of January 1970 was a Thursday.
        let day = (minutes.div_euclid(DAY_MINUTES) + 3).rem_euclid(7);
        let minute = minutes.rem_euclid(DAY_MINUTES);
        let (first, last) = (i64::from(self.first), i64::from(self.last));
        let is_day = if first <= last { (first..=last).contains(&day) } else { day >= first || day <= last };
        is_day && (i64::from(self.from_minute)..i64::from(self.until_minute)).contains(&minute)
    }

    /// When they end, if that moment lies in them.
    fn end(&self, wall: Wall) -> Option<Wall> {
        let minutes = wall.0.div_euclid(MINUTE_MS);
        let midnight = minutes - minutes.rem_euclid(DAY_MINUTES);
        let end = midnight.checked_add(i64::from(self.until_minute))?.checked_mul(MINUTE_MS)?;
        self.hold(wall).then_some(Wall(end))
    }
}

impl Schedule {
    pub(crate) fn begin(&self, given: &Given<'_>) -> Step {
        match self.lasts(given.now.wall) {
            Some(until) => Step::Pass(None, until),
            None => Step::Next(Some(not_here("a time that is not listed"))),
        }
    }

    /// If the moment lies in the hours: until when they go on without a break, unless that is for ever.
    fn lasts(&self, wall: Wall) -> Option<Option<Wall>> {
        let end_of = |wall| self.0.iter().filter_map(|hours| hours.end(wall)).max();
        let mut end = end_of(wall)?;
        for _ in 0..PIECES_MAX {
            if end.0.saturating_sub(wall.0) >= WEEK_MS {
                return Some(None);
            }
            let Some(next) = end_of(end) else { break };
            end = next;
        }
        Some(Some(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_hold_what_they_say() {
        let hold = |text: &str, ms: i64| text.parse::<Hours>().unwrap().hold(Wall(ms));
        // 2023-11-14 22:13:20 UTC, a Tuesday.
        let tuesday = 1_700_000_000_000;
        assert!(hold("tue 22:00-23:00", tuesday) && hold("mon-fri 00:00-24:00", tuesday));
        assert!(hold("sat-wed 22:13-22:14", tuesday), "days may wrap");
        for text in ["mon 22:00-23:00", "tue 22:14-24:00", "tue 00:00-22:13", "wed-mon 00:00-24:00"] {
            assert!(!hold(text, tuesday), "{text}");
        }
        assert!(hold("thu 00:00-00:01", 0) && hold("wed 23:59-24:00", -1), "before 1970 too");
    }

    #[test]
    fn hours_last_until_there_is_a_break_or_for_ever() {
        let lasts = |hours: &[&str], wall: i64| {
            let schedule = Schedule(hours.iter().map(|text| text.parse().unwrap()).collect());
            schedule.lasts(Wall(wall)).map(|until| until.map(|until| until.0 - wall))
        };
        const MINUTE: i64 = 60_000;
        const HOUR: i64 = 60 * MINUTE;
        // Thursday, midnight.
        assert_eq!(lasts(&["thu 00:00-18:00"], 0), Some(Some(18 * HOUR)));
        assert_eq!(lasts(&["thu 00:00-18:00"], 18 * HOUR - 1), Some(Some(1)));
        assert_eq!(lasts(&["thu 00:00-18:00"], 18 * HOUR), None);
        assert_eq!(
            lasts(&["thu 00:00-09:00", "thu 08:00-10:00", "thu 11:00-12:00"], 0),
            Some(Some(10 * HOUR))
        );
        assert_eq!(
            lasts(&["thu 20:00-24:00", "fri 00:00-06:00"], 23 * HOUR),
            Some(Some(7 * HOUR)),
            "overnight"
        );
        assert_eq!(lasts(&["mon-fri 00:00-24:00"], 0), Some(Some(48 * HOUR)), "until Saturday");
        assert_eq!(lasts(&["thu 00:00-08:00"], -1), None, "the evening before, before 1970");
        assert_eq!(lasts(&["wed 22:00-24:00"], -1), Some(Some(1)));
        assert_eq!(lasts(&["mon-sun 00:00-24:00"], 5 * HOUR), Some(None));
        assert_eq!(lasts(&["mon-wed 00:00-24:00", "thu-sun 00:00-24:00"], 5 * HOUR), Some(None));
    }

    #[test]
    fn what_is_not_hours_is_said_to_be_none() {
        for text in [
            "",
            "mon",
            "mon-fri",
            "mon 08:00",
            "mon 18:00-08:00",
            "mon 08:00-08:00",
            "mon 8:00-9:00",
            "mon 24:01-24:02",
            "mon 08:60-09:00",
            "Mon 08:00-09:00",
            "mon +8:00-09:00",
        ] {
            assert_eq!(text.parse::<Hours>(), Err(NotHours), "{text}");
        }
        assert_eq!("sat-mon 08:00-24:00".parse::<Hours>().unwrap().to_string(), "sat-mon 08:00-24:00");
    }
}
