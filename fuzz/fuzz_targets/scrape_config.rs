//! Any text as a job: refused with a place, or a job that makes a target or says why not.
#![no_main]

use discovery::{SdConfig, TargetGroup};
use libfuzzer_sys::fuzz_target;
use scrape::{GlobalConfig, ScrapeConfigFile};

fuzz_target!(|text: &str| {
    let _ = model::yaml::parse::<GlobalConfig>("fuzz.yml", text);
    let _ = model::yaml::parse::<Vec<TargetGroup>>("fuzz.yml", text);
    let Ok(file) = model::yaml::parse::<ScrapeConfigFile>("fuzz.yml", text) else { return };
    let Ok(job) = file.resolve(&GlobalConfig::default(), std::path::Path::new("/etc")) else { return };
    for sd in &job.sd {
        let SdConfig::Static(groups) = sd else { continue };
        for group in groups {
            for own in &group.targets {
                let _ = scrape::target::build(&job, group, own);
            }
        }
    }
});
