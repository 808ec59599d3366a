//! Histograms as text: buckets in the notation of intervals, as `count_values` names them.

use std::fmt::{self, Display, Formatter};

use super::{Bucket, Histogram};
use crate::float::format_g;

impl Display for Bucket {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let open = if self.has_lower { '[' } else { '(' };
        let close = if self.has_upper { ']' } else { ')' };
        write!(f, "{open}{},{}{close}:{}", format_g(self.lower), format_g(self.upper), format_g(self.count))
    }
}

impl Display for Histogram {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", format_g(self.count), format_g(self.sum))?;
        let mut negative: Vec<_> = self.negatives().filter(|(_, count)| *count != 0.0).collect();
        negative.reverse();
        for (index, count) in negative {
            write!(f, ", {}", self.bucket(index, count, true))?;
        }
        if self.zero_count != 0.0 {
            write!(f, ", {}", self.zero_bucket())?;
        }
        for (index, count) in self.positives().filter(|(_, count)| *count != 0.0) {
            write!(f, ", {}", self.bucket(index, count, false))?;
        }
        f.write_str("}")
    }
}
