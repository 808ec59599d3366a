//! Recurrence rules of iCalendar: when something comes again, in civil time.
//!
//! In: the text of an RRULE and the civil time of the first run; out: civil times in order, found lazily. Knows no zone and
//! no clock. Source: RFC 5545, 3.3.10 and the table there of what each part adds or takes away. What repeats more
//! often than daily is written with BYHOUR and BYMINUTE; BYWEEKNO is refused.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::{Span, ToSpan as _};

/// Longest rule, in bytes. Chosen: one that names each day of a year is as long.
const TEXT_BYTES_MAX: usize = 2_000;
/// Most COUNT. Chosen: daily for 27 years.
const COUNT_MAX: u32 = 10_000;
/// Most INTERVAL. Chosen: daily, once in 27 years.
const INTERVAL_MAX: u32 = 10_000;
/// Most runs that may begin on one day. Chosen: hourly.
const TIMES_MAX: usize = 24;
/// Days, weeks, months or years that are looked at before the rule counts as one that never comes again. Chosen: 54 years of
/// days, longer than any gap that the calendar makes (29 February on a given weekday: 40 years).
const PERIODS_MAX: u32 = 20_000;

/// How long a period is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Freq {
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// When it ends, the moment inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// In the zone of the start.
    Civil(DateTime),
    Utc(DateTime),
}

/// `2TU` is the second Tuesday, `-1FR` the last Friday; 0 is each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Day {
    nth: i32,
    weekday: Weekday,
}

/// A checked rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    freq: Freq,
    interval: u32,
    count: Option<u32>,
    pub(super) until: Option<Until>,
    months: Vec<i32>,
    month_days: Vec<i32>,
    year_days: Vec<i32>,
    days: Vec<Day>,
    hours: Vec<i32>,
    minutes: Vec<i32>,
    seconds: Vec<i32>,
    positions: Vec<i32>,
    week_start: Weekday,
}

impl Rule {
    /// Reads `FREQ=WEEKLY;BYDAY=SU`, with or without `RRULE:` before it.
    ///
    /// # Errors
    /// What to change, as a sentence.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("it is longer than {TEXT_BYTES_MAX} bytes"));
        }
        let upper = text.trim().to_ascii_uppercase();
        let upper = upper.strip_prefix("RRULE:").unwrap_or(&upper);
        let mut rule = Self::empty();
        let mut seen: Vec<&str> = Vec::new();
        for part in upper.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| format!("{part:?} is not NAME=VALUE, as FREQ=WEEKLY;BYDAY=SU has it"))?;
            if seen.contains(&name) {
                return Err(format!("{name} is there twice"));
            }
            seen.push(name);
            rule.take(name, value)?;
        }
        if !seen.contains(&"FREQ") {
            return Err("FREQ is missing: FREQ=DAILY, WEEKLY, MONTHLY or YEARLY".to_owned());
        }
        rule.check()?;
        Ok(rule)
    }

    fn empty() -> Self {
        Self {
            freq: Freq::Daily,
            interval: 1,
            count: None,
            until: None,
            months: Vec::new(),
            month_days: Vec::new(),
            year_days: Vec::new(),
            days: Vec::new(),
            hours: Vec::new(),
            minutes: Vec::new(),
            seconds: Vec::new(),
            positions: Vec::new(),
            week_start: Weekday::Monday,
        }
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "FREQ" => self.freq = freq(value)?,
            "INTERVAL" => self.interval = whole(name, value, INTERVAL_MAX)?,
            "COUNT" => self.count = Some(whole(name, value, COUNT_MAX)?),
            "UNTIL" => self.until = Some(until(value)?),
            "BYMONTH" => self.months = numbers(name, value, 1, 12, false)?,
            "BYMONTHDAY" => self.month_days = numbers(name, value, 1, 31, true)?,
            "BYYEARDAY" => self.year_days = numbers(name, value, 1, 366, true)?,
            "BYDAY" => self.days = value.split(',').map(day).collect::<Result<_, _>>()?,
            "BYHOUR" => self.hours = numbers(name, value, 0, 23, false)?,
            "BYMINUTE" => self.minutes = numbers(name, value, 0, 59, false)?,
            "BYSECOND" => self.seconds = numbers(name, value, 0, 59, false)?,
            "BYSETPOS" => self.positions = numbers(name, value, 1, 366, true)?,
            "WKST" => self.week_start = weekday(value)?,
            "BYWEEKNO" => return Err("BYWEEKNO is not served: write BYMONTH and BYDAY".to_owned()),
            _ => return Err(format!("{name:?} is no part of a rule that is known here")),
        }
        Ok(())
    }

    /// What the parts must be together: notes of the table in RFC 5545.
    fn check(&self) -> Result<(), String> {
        let refuse = |is_bad: bool, why: &str| if is_bad { Err(why.to_owned()) } else { Ok(()) };
        let counts_days = self.days.iter().any(|day| day.nth != 0);
        refuse(self.count.is_some() && self.until.is_some(), "COUNT and UNTIL exclude each other")?;
        refuse(
            counts_days && matches!(self.freq, Freq::Daily | Freq::Weekly),
            "BYDAY with a number, as 2TU, needs FREQ=MONTHLY or FREQ=YEARLY",
        )?;
        refuse(
            !self.month_days.is_empty() && self.freq == Freq::Weekly,
            "BYMONTHDAY does not go with FREQ=WEEKLY: use FREQ=MONTHLY or FREQ=DAILY",
        )?;
        refuse(!self.year_days.is_empty() && self.freq != Freq::Yearly, "BYYEARDAY needs FREQ=YEARLY")?;
        let has_other =
            [&self.months, &self.month_days, &self.year_days, &self.hours, &self.minutes, &self.seconds];
        let has_other = has_other.iter().any(|list| !list.is_empty()) || !self.days.is_empty();
        refuse(!self.positions.is_empty() && !has_other, "BYSETPOS needs another BY… part to choose from")?;
        let n_times = [&self.hours, &self.minutes, &self.seconds]
            .iter()
            .map(|list| list.len().max(1))
            .product::<usize>();
        let many = format!("it begins more than {TIMES_MAX} times a day");
        refuse(n_times > TIMES_MAX, &many)
    }

    /// Runs that begin at `from` or later, `start` being where the rule begins.
    pub(super) fn runs(&self, start: DateTime, from: DateTime) -> Runs<'_> {
        let base = self.base(start.date());
        // What is counted has to be counted from the beginning; else a jump to just before is the same.
        let skipped = match self.count {
            Some(_) => 0,
            None => base.map_or(0, |base| self.periods_before(base, from.date())),
        };
        Runs {
            rule: self,
            start,
            from,
            base,
            period: skipped,
            n_looked: 0,
            n_counted: 0,
            found: Vec::new().into_iter(),
        }
    }

    /// The first day of the period that has `date`.
    fn base(&self, date: Date) -> Option<Date> {
        match self.freq {
            Freq::Daily => Some(date),
            Freq::Weekly => {
                let behind = date.weekday().since(self.week_start);
                date.checked_sub(i64::from(behind).days()).ok()
            }
            Freq::Monthly => Some(date.first_of_month()),
            Freq::Yearly => Some(date.first_of_year()),
        }
    }

    fn periods_before(&self, base: Date, date: Date) -> i64 {
        let months = |date: Date| i64::from(date.year()) * 12 + i64::from(date.month());
        let days = || base.until(date).map_or(0, |span: Span| i64::from(span.get_days()));
        let n = match self.freq {
            Freq::Daily => days(),
            Freq::Weekly => days() / 7,
            Freq::Monthly => months(date) - months(base),
            Freq::Yearly => i64::from(date.year()) - i64::from(base.year()),
        };
        (n / i64::from(self.interval) - 1).max(0)
    }

    /// The first day of the `n`th period; `None` when the calendar is at its end.
    fn period(&self, base: Date, n: i64) -> Option<Date> {
        let n = n.checked_mul(i64::from(self.interval))?;
        let span = match self.freq {
            Freq::Daily => Span::new().try_days(n),
            Freq::Weekly => Span::new().try_weeks(n),
            Freq::Monthly => Span::new().try_months(n),
            Freq::Yearly => Span::new().try_years(n),
        };
        base.checked_add(span.ok()?).ok()
    }

    /// All times of one period, in order.
    fn times_of(&self, period: Date, start: DateTime) -> Vec<DateTime> {
        let mut days = match self.freq {
            Freq::Daily => vec![period],
            Freq::Weekly => self.week(period, start.date()),
            Freq::Monthly => self.month(period, start.date()),
            Freq::Yearly => self.year(period, start.date()),
        };
        days.retain(|day| self.keeps(*day));
        days.sort_unstable();
        days.dedup();
        let times = self.times_of_day(start.time());
        let mut all: Vec<DateTime> =
            days.iter().flat_map(|day| times.iter().map(|time| day.to_datetime(*time))).collect();
        if !self.positions.is_empty() {
            let n = all.len() as i64;
            let is_chosen = |idx: usize| {
                let (front, back) = (idx as i64 + 1, idx as i64 - n);
                self.positions.iter().any(|at| i64::from(*at) == front || i64::from(*at) == back)
            };
            let chosen = (0..all.len()).filter(|idx| is_chosen(*idx)).map(|idx| all[idx]).collect();
            all = chosen;
        }
        all
    }

    /// What limits, whatever the period.
    fn keeps(&self, day: Date) -> bool {
        let in_month = self.months.is_empty() || self.months.contains(&i32::from(day.month()));
        let on_day = match self.freq {
            Freq::Daily => self.days.is_empty() || self.days.iter().any(|of| of.weekday == day.weekday()),
            _ => true,
        };
        let of_month = self.freq != Freq::Daily || self.month_days.is_empty() || self.is_month_day(day);
        in_month && on_day && of_month
    }

    fn is_month_day(&self, day: Date) -> bool {
        let (front, back) = (i32::from(day.day()), i32::from(day.day()) - i32::from(day.days_in_month()) - 1);
        self.month_days.iter().any(|of| *of == front || *of == back)
    }

    fn week(&self, first: Date, start: Date) -> Vec<Date> {
        let is_wanted = |day: &Date| match self.days.is_empty() {
            true => day.weekday() == start.weekday(),
            false => self.days.iter().any(|of| of.weekday == day.weekday()),
        };
        (0..7i64).filter_map(|n| first.checked_add(n.days()).ok()).filter(is_wanted).collect()
    }

    /// Days of a month.
    fn month(&self, first: Date, start: Date) -> Vec<Date> {
        let all: Vec<Date> = days_between(first, first.last_of_month());
        if !self.month_days.is_empty() {
            let mut days: Vec<Date> = all.iter().copied().filter(|day| self.is_month_day(*day)).collect();
            if !self.days.is_empty() {
                let of_week = self.by_weekday(&all);
                days.retain(|day| of_week.contains(day));
            }
            days
        } else if !self.days.is_empty() {
            self.by_weekday(&all)
        } else {
            all.into_iter().filter(|day| day.day() == start.day()).collect()
        }
    }

    /// Days of a year.
    fn year(&self, first: Date, start: Date) -> Vec<Date> {
        let months = |months: &[i32]| -> Vec<Date> {
            let in_year =
                months.iter().filter_map(|month| Date::new(first.year(), i8::try_from(*month).ok()?, 1).ok());
            in_year.collect()
        };
        let all_months: Vec<i32> = (1..=12).collect();
        let named = if self.months.is_empty() { &all_months } else { &self.months };
        if !self.year_days.is_empty() {
            let n_days = i32::from(first.days_in_year());
            let mut days = days_between(first, first.last_of_year());
            days.retain(|day| {
                let (front, back) = (i32::from(day.day_of_year()), i32::from(day.day_of_year()) - n_days - 1);
                self.year_days.iter().any(|of| *of == front || *of == back)
                    && (self.month_days.is_empty() || self.is_month_day(*day))
                    && (self.days.is_empty() || self.days.iter().any(|of| of.weekday == day.weekday()))
            });
            days
        } else if !self.month_days.is_empty() || !self.days.is_empty() && !self.months.is_empty() {
            months(named).into_iter().flat_map(|first| self.month(first, start)).collect()
        } else if !self.days.is_empty() {
            self.by_weekday(&days_between(first, first.last_of_year()))
        } else {
            let of =
                if self.months.is_empty() { vec![i32::from(start.month())] } else { self.months.clone() };
            months(&of).into_iter().flat_map(|first| self.month(first, start)).collect()
        }
    }

    /// Those of `all`, days of a month or a year in order, that BYDAY names.
    fn by_weekday(&self, all: &[Date]) -> Vec<Date> {
        let mut days = Vec::new();
        for wanted in &self.days {
            let of: Vec<Date> = all.iter().copied().filter(|day| day.weekday() == wanted.weekday).collect();
            let nth = usize::try_from(wanted.nth.unsigned_abs()).unwrap_or(usize::MAX);
            match wanted.nth {
                0 => days.extend(of),
                1.. => days.extend(of.get(nth - 1)),
                _ => days.extend(of.len().checked_sub(nth).and_then(|idx| of.get(idx))),
            }
        }
        days
    }

    fn times_of_day(&self, start: Time) -> Vec<Time> {
        let or_own = |list: &Vec<i32>, own: i8| match list.is_empty() {
            true => vec![own],
            false => list.iter().filter_map(|n| i8::try_from(*n).ok()).collect(),
        };
        let (hours, minutes) = (or_own(&self.hours, start.hour()), or_own(&self.minutes, start.minute()));
        let seconds = or_own(&self.seconds, start.second());
        let mut times: Vec<Time> = Vec::new();
        for hour in &hours {
            for minute in &minutes {
                times.extend(seconds.iter().filter_map(|second| Time::new(*hour, *minute, *second, 0).ok()));
            }
        }
        times.sort_unstable();
        times.dedup();
        times
    }
}

fn days_between(first: Date, last: Date) -> Vec<Date> {
    first.series(1.day()).take_while(|day| *day <= last).collect()
}

/// Civil times of a rule, in order. UNTIL is for the caller, who knows the zone.
#[derive(Debug)]
pub(super) struct Runs<'a> {
    rule: &'a Rule,
    start: DateTime,
    from: DateTime,
    base: Option<Date>,
    period: i64,
    n_looked: u32,
    n_counted: u32,
    found: std::vec::IntoIter<DateTime>,
}

impl Iterator for Runs<'_> {
    type Item = DateTime;

    fn next(&mut self) -> Option<DateTime> {
        let base = self.base?;
        loop {
            for at in self.found.by_ref().filter(|at| *at >= self.start) {
                self.n_counted += 1;
                if self.rule.count.is_some_and(|count| self.n_counted > count) {
                    self.base = None;
                    return None;
                }
                if at >= self.from {
                    self.n_looked = 0;
                    return Some(at);
                }
            }
            if self.n_looked >= PERIODS_MAX {
                return None;
            }
            let first = self.rule.period(base, self.period)?;
            self.found = self.rule.times_of(first, self.start).into_iter();
            self.n_looked += 1;
            self.period += 1;
        }
    }
}

fn freq(value: &str) -> Result<Freq, String> {
    match value {
        "DAILY" => Ok(Freq::Daily),
        "WEEKLY" => Ok(Freq::Weekly),
        "MONTHLY" => Ok(Freq::Monthly),
        "YEARLY" => Ok(Freq::Yearly),
        "HOURLY" | "MINUTELY" | "SECONDLY" => {
            Err(format!("FREQ={value} is not served: write FREQ=DAILY with BYHOUR, as BYHOUR=0,6,12,18"))
        }
        _ => Err(format!("FREQ={value} is unknown: it is DAILY, WEEKLY, MONTHLY or YEARLY")),
    }
}

fn whole(name: &str, value: &str, max: u32) -> Result<u32, String> {
    let n = value.parse().ok().filter(|n| (1..=max).contains(n));
    n.ok_or_else(|| format!("{name}={value}: a whole number from 1 to {max} is needed"))
}

fn numbers(name: &str, value: &str, min: i32, max: i32, is_signed: bool) -> Result<Vec<i32>, String> {
    let is_good =
        |n: &i32| (min..=max).contains(n) || is_signed && *n < 0 && (min..=max).contains(&n.saturating_neg());
    let number = |text: &str| {
        text.trim().parse().ok().filter(is_good).ok_or_else(|| {
            let back = if is_signed { format!(" or -{max} to -{min}") } else { String::new() };
            format!("{name}={value}: {text:?} is not a number from {min} to {max}{back}")
        })
    };
    value.split(',').map(number).collect()
}

fn weekday(text: &str) -> Result<Weekday, String> {
    let day = match text {
        "MO" => Weekday::Monday,
        "TU" => Weekday::Tuesday,
        "WE" => Weekday::Wednesday,
        "TH" => Weekday::Thursday,
        "FR" => Weekday::Friday,
        "SA" => Weekday::Saturday,
        "SU" => Weekday::Sunday,
        _ => return Err(format!("{text:?} is no weekday: MO, TU, WE, TH, FR, SA or SU")),
    };
    Ok(day)
}

fn day(text: &str) -> Result<Day, String> {
    let text = text.trim();
    let at = text.len().checked_sub(2).filter(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let (nth, name) = text.split_at(at);
    let weekday = weekday(name).map_err(|_| {
        format!(
            "BYDAY: {text:?} is none of MO, TU, WE, TH, FR, SA, SU, with a number before it as in 2TU or -1FR"
        )
    })?;
    let nth = match nth {
        "" => 0,
        nth => nth
            .parse()
            .ok()
            .filter(|n: &i32| *n != 0 && (-53..=53).contains(n))
            .ok_or_else(|| format!("BYDAY: {text:?} counts from 1 to 53 or from -1 to -53"))?,
    };
    Ok(Day { nth, weekday })
}

fn until(text: &str) -> Result<Until, String> {
    let bad = || format!("UNTIL={text} is no time, as 20261231T235959Z or 20261231");
    let civil = |text: &str| text.parse::<DateTime>().map_err(|_| bad());
    let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'T');
    match text.strip_suffix('Z') {
        Some(utc) if is_plain(utc) && utc.contains('T') => Ok(Until::Utc(civil(utc)?)),
        None if is_plain(text) && text.contains('T') => Ok(Until::Civil(civil(text)?)),
        // A day counts to its end.
        None if is_plain(text) => {
            let day: Date = text.parse().map_err(|_| bad())?;
            Ok(Until::Civil(day.to_datetime(jiff::civil::time(23, 59, 59, 999_999_999))))
        }
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Start, rule, first runs: examples of RFC 5545, 3.8.5.3, and of what it leaves to the calendar.
    #[rustfmt::skip]
    const RFC: &[(&str, &str, &str)] = &[
        ("1997-09-02T09:00", "FREQ=DAILY;COUNT=2", "1997-09-02 1997-09-03"),
        ("1997-09-02T09:00", "RRULE:FREQ=DAILY;INTERVAL=10;COUNT=3", "1997-09-02 1997-09-12 1997-09-22"),
        ("1998-01-01T09:00", "FREQ=YEARLY;BYMONTH=1;BYDAY=SU,MO", "1998-01-04 1998-01-05 1998-01-11"),
        ("1997-09-02T09:00", "FREQ=WEEKLY;INTERVAL=2;WKST=SU", "1997-09-02 1997-09-16 1997-09-30"),
        ("1997-09-02T09:00", "FREQ=WEEKLY;WKST=SU;BYDAY=TU,TH", "1997-09-02 1997-09-04 1997-09-09 1997-09-11"),
        ("1997-09-01T09:00", "FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=MO,WE,FR", "1997-09-01 1997-09-03 1997-09-05 1997-09-15"),
        ("1997-08-05T09:00", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO", "1997-08-05 1997-08-10 1997-08-19 1997-08-24"),
        ("1997-08-05T09:00", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU", "1997-08-05 1997-08-17 1997-08-19 1997-08-31"),
        ("1997-09-05T09:00", "FREQ=MONTHLY;BYDAY=1FR", "1997-09-05 1997-10-03 1997-11-07"),
        ("1997-09-07T09:00", "FREQ=MONTHLY;INTERVAL=2;BYDAY=1SU,-1SU", "1997-09-07 1997-09-28 1997-11-02 1997-11-30"),
        ("1997-09-22T09:00", "FREQ=MONTHLY;COUNT=6;BYDAY=-2MO", "1997-09-22 1997-10-20 1997-11-17 1997-12-22 1998-01-19"),
        ("1997-09-28T09:00", "FREQ=MONTHLY;BYMONTHDAY=-3", "1997-09-28 1997-10-29 1997-11-28 1997-12-29 1998-01-29 1998-02-26"),
        ("1997-09-02T09:00", "FREQ=MONTHLY;BYMONTHDAY=2,15", "1997-09-02 1997-09-15 1997-10-02"),
        ("1997-09-10T09:00", "FREQ=MONTHLY;INTERVAL=18;BYMONTHDAY=10,11,12,13,14,15", "1997-09-10 1997-09-11 1997-09-12 1997-09-13 1997-09-14 1997-09-15 1999-03-10"),
        ("1997-06-10T09:00", "FREQ=YEARLY;COUNT=10;BYMONTH=6,7", "1997-06-10 1997-07-10 1998-06-10"),
        ("1997-01-01T09:00", "FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200", "1997-01-01 1997-04-10 1997-07-19 2000-01-01 2000-04-09"),
        ("1997-05-19T09:00", "FREQ=YEARLY;BYDAY=20MO", "1997-05-19 1998-05-18 1999-05-17"),
        ("1997-09-02T09:00", "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "1998-02-13 1998-03-13 1998-11-13 1999-08-13 2000-10-13"),
        ("1996-11-05T09:00", "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8", "1996-11-05 2000-11-07 2004-11-02"),
        ("1997-09-04T09:00", "FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3", "1997-09-04 1997-10-07 1997-11-06"),
        ("1997-09-29T09:00", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2", "1997-09-29 1997-10-30 1997-11-27 1997-12-30"),
        ("1997-09-02T09:00", "FREQ=DAILY;BYHOUR=9,21;BYMINUTE=0,30", "1997-09-02T09:00 1997-09-02T09:30 1997-09-02T21:00 1997-09-02T21:30 1997-09-03T09:00"),
        ("2007-01-15T09:00", "FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5", "2007-01-15 2007-01-30 2007-02-15 2007-03-15 2007-03-30"),
        ("2024-01-31T01:00", "FREQ=MONTHLY", "2024-01-31 2024-03-31 2024-05-31"),
        ("2024-02-29T01:00", "FREQ=YEARLY", "2024-02-29 2028-02-29 2032-02-29"),
        ("2024-01-01T01:00", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO", "2044-02-29"),
    ];

    #[test]
    fn rules_come_again_as_the_rfc_says() {
        let check = |start: &str, rule: &str, expected: &str| {
            let start: DateTime = start.parse().unwrap();
            let parsed = Rule::parse(rule).unwrap_or_else(|err| panic!("{rule}: {err}"));
            let expected: Vec<&str> = expected.split_whitespace().collect();
            let got: Vec<String> = parsed
                .runs(start, start)
                .take(expected.len())
                .map(|at| {
                    at.strftime(if expected[0].len() > 10 { "%Y-%m-%dT%H:%M" } else { "%Y-%m-%d" })
                        .to_string()
                })
                .collect();
            assert_eq!(got, expected, "{rule}");
            // A jump into the middle finds the same.
            if let Some(last) = parsed.runs(start, start).take(expected.len()).last() {
                assert_eq!(parsed.runs(start, last).next(), Some(last), "{rule}");
            }
        };
        for (start, rule, expected) in RFC {
            check(start, rule, expected);
        }
    }

    #[test]
    fn what_never_comes_ends() {
        let check = |rule: &str, expected: usize| {
            let start: DateTime = "2026-01-01T00:00".parse().unwrap();
            assert_eq!(Rule::parse(rule).unwrap().runs(start, start).take(9).count(), expected, "{rule}");
        };
        check("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", 0);
        check("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", 0);
        check("FREQ=DAILY;COUNT=3", 3);
        check("FREQ=YEARLY;INTERVAL=5000", 2);
    }

    #[test]
    fn refusals_say_what_to_change() {
        let check = |rule: &str, expected: &str| {
            let err = Rule::parse(rule).expect_err(rule);
            assert!(err.contains(expected), "{rule}: {err}");
        };
        check("", "FREQ is missing");
        check("weekly", "\"WEEKLY\" is not NAME=VALUE");
        check("FREQ=HOURLY", "BYHOUR");
        check("FREQ=OFTEN", "DAILY, WEEKLY, MONTHLY or YEARLY");
        check("FREQ=DAILY;COUNT=0", "from 1 to 10000");
        check("FREQ=DAILY;COUNT=2;UNTIL=20270101", "exclude each other");
        check("FREQ=DAILY;FREQ=DAILY", "twice");
        check("FREQ=WEEKLY;BYDAY=XX", "\"XX\" is none of MO, TU");
        check("FREQ=WEEKLY;BYDAY=SUN", "\"SUN\" is none of MO, TU");
        check("FREQ=WEEKLY;WKST=SUN", "no weekday");
        check("FREQ=WEEKLY;BYDAY=2MO", "FREQ=MONTHLY");
        check("FREQ=WEEKLY;BYMONTHDAY=3", "FREQ=MONTHLY");
        check("FREQ=MONTHLY;BYMONTHDAY=32", "from 1 to 31 or -31 to -1");
        check("FREQ=MONTHLY;BYSETPOS=1", "BYSETPOS needs");
        check("FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12;BYMINUTE=0,30", "24 times a day");
        check("FREQ=DAILY;UNTIL=tomorrow", "20261231");
        check("FREQ=DAILY;BYEASTER=1", "no part of a rule");
        check("FREQ=YEARLY;BYWEEKNO=20", "BYWEEKNO");
        check("FREQ=WEEKLY;BYDAY=é", "is none of MO");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_answered(text in "[A-Z=;,0-9+-]{0,40}|(FREQ=(DAILY|MONTHLY|YEARLY|WEEKLY);[A-Z=;,0-9-]{0,30})") {
            if let Ok(rule) = Rule::parse(&text) {
                let start: DateTime = "2026-01-01T00:00".parse().unwrap();
                let got: Vec<DateTime> = rule.runs(start, start).take(4).collect();
                proptest::prop_assert!(got.is_sorted());
            }
        }
    }
}
