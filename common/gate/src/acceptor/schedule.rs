//! Looks at when a peer comes: on the days and between the hours that are listed, in UTC, or it does not pass; and no longer
//! than they last.

use super::{Given, Listed, Sort, Step, Written, not_here};
use riser_model::Wall;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// Hours of one schedule that a change makes.
pub const HOURS_MAX: usize = 64;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MINUTE_MS: i64 = 60_000;
const DAY_MINUTES: i64 = 24 * 60;
const WEEK_MINUTES: i64 = 7 * DAY_MINUTES;

/// Some hours of some days, UTC: `mon-fri 08:00-18:00`, `sun 22:00-24:00`. A range of days may wrap (`sat-mon`), hours may
/// not: write two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hours {
    first: u8,
    last: u8,
    from_minute: u16,
    until_minute: u16,
}

/// The hours at which one may pass, as a person lists them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schedule(pub Vec<Hours>);

/// The same as they are looked at: what goes on without a break is one stretch, in minutes since Monday's midnight, in order.
/// However many hours were listed, to look takes no longer than to find one of these.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Week(Vec<(i64, i64)>);

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
    /// From when until when on each of its days, in minutes of a week.
    fn stretches(&self) -> impl Iterator<Item = (i64, i64)> {
        let (first, last) = (i64::from(self.first), i64::from(self.last));
        let (from, until) = (i64::from(self.from_minute), i64::from(self.until_minute));
        let days = (last - first).rem_euclid(7);
        (0..=days).map(move |day| {
            let midnight = (first + day).rem_euclid(7) * DAY_MINUTES;
            (midnight + from, midnight + until)
        })
    }
}

impl Schedule {
    /// As it is looked at.
    pub fn week(&self) -> Week {
        let mut all: Vec<(i64, i64)> = self.0.iter().flat_map(Hours::stretches).collect();
        all.sort_unstable();
        let mut stretches: Vec<(i64, i64)> = Vec::new();
        for (from, until) in all {
            match stretches.last_mut() {
                Some((_, end)) if *end >= from => *end = until.max(*end),
                Some(_) | None => stretches.push((from, until)),
            }
        }
        Week(stretches)
    }
}

pub(crate) const SORT: Sort = Sort::Condition;

impl Written for Schedule {
    type Asked = Week;

    fn lists(&self) -> Option<Listed> {
        Some(Listed { count: self.0.len(), most: HOURS_MAX, of: "hours in one schedule" })
    }

    fn asked(&self) -> Result<Week, &'static str> {
        if self.0.is_empty() { Err("name at least some hours, or leave it out") } else { Ok(self.week()) }
    }
}

pub(crate) fn begin(week: &Week, given: &Given<'_>) -> Step {
    match week.lasts(given.now.wall) {
        Some(until) => Step::Pass(None, until),
        None => Step::Next(Some(not_here("a time that is not listed"))),
    }
}

impl Week {
    /// If the moment lies in the hours: until when they go on without a break, unless that is for ever.
    pub(crate) fn lasts(&self, wall: Wall) -> Option<Option<Wall>> {
        let minutes = wall.0.div_euclid(MINUTE_MS);
        // The first of January 1970 was a Thursday.
        let minute = (minutes + 3 * DAY_MINUTES).rem_euclid(WEEK_MINUTES);
        let place = self.0.partition_point(|(_, until)| *until <= minute);
        let (_, until) = self.0.get(place).filter(|(from, _)| *from <= minute)?;
        let goes_on = match self.0.first() {
            Some((0, WEEK_MINUTES)) => return Some(None),
            Some((0, monday)) if *until == WEEK_MINUTES => *monday,
            Some(_) | None => 0,
        };
        let end = (minutes - minute + until + goes_on).checked_mul(MINUTE_MS)?;
        Some(Some(Wall(end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_hold_what_they_say() {
        let hold =
            |text: &str, ms: i64| Schedule(vec![text.parse().unwrap()]).week().lasts(Wall(ms)).is_some();
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
            schedule.week().lasts(Wall(wall)).map(|until| until.map(|until| until.0 - wall))
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
    fn hours_that_go_on_over_sunday_s_midnight_have_no_break_there() {
        const HOUR: i64 = 3_600_000;
        // Sunday, 23:00.
        let sunday = 3 * 24 * HOUR + 23 * HOUR;
        let lasts = |hours: &[&str]| {
            let schedule = Schedule(hours.iter().map(|text| text.parse().unwrap()).collect());
            schedule.week().lasts(Wall(sunday)).map(|until| until.map(|until| (until.0 - sunday) / HOUR))
        };
        assert_eq!(lasts(&["sun 20:00-24:00", "mon 00:00-06:00"]), Some(Some(7)));
        assert_eq!(lasts(&["sun 20:00-24:00", "mon 01:00-06:00"]), Some(Some(1)));
        assert_eq!(lasts(&["sat-mon 00:00-24:00"]), Some(Some(25)));
        assert_eq!(lasts(&["mon-sat 00:00-24:00", "sun 12:00-24:00"]), Some(Some(6 * 24 + 1)));
        assert_eq!(lasts(&["mon-sat 00:00-24:00", "sun 00:00-23:00"]), None);
    }

    #[test]
    fn however_many_hours_are_listed_there_are_no_more_to_look_at_than_are_apart() {
        let day = |n: usize| DAYS.get(n % 7).unwrap();
        let listed = |n: usize| {
            let (hour, minute) = (n / 7 % 24, n / 168 % 59);
            format!("{} {hour:02}:{minute:02}-{hour:02}:{:02}", day(n), minute + 1)
        };
        let hours = |count: usize| Schedule((0..count).map(|n| listed(n).parse().unwrap()).collect());
        let every = hours(7 * 24 * 59).week();
        assert_eq!(every.0.len(), 7 * 24, "one an hour, up to its last minute");
        assert_eq!(hours(7 * 24 * 590).week(), every, "said ten times");
        assert_eq!(every.lasts(Wall(0)), Some(Some(Wall(59 * MINUTE_MS))));
        assert_eq!(every.lasts(Wall(59 * MINUTE_MS)), None);
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
