//! Discovers targets and pulls samples on schedule.
